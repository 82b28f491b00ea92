"""Folders in which a benchmark runs the steps one by one, each as a process, without DVC."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from sortline.core.graph import read_graph
from sortline.core.params import overlay, read_yaml

ROOT = Path(__file__).parents[1]
STEPS = tuple(read_graph(ROOT))


@dataclass(frozen=True)
class Cost:
    """Of one step: seconds with the start of its process, of CPU, and peak resident memory in MiB.

    Seconds of CPU are of all its threads: other work on the machine changes them less.
    """

    seconds: float
    cpu_s: float
    peak_mib: float


def settings_of(
    recipe: str | None, changes: Mapping[str, Any], tree: Path = ROOT
) -> dict[str, Any]:
    """params.yaml, a recipe, and changes, one over the other; of another checkout if need be.

    Without SORTLINE_WEIGHTS_DIR, ImageNet weights are random ones: they take as much time and room.
    """
    settings = dict(read_yaml(tree / "params.yaml"))
    if recipe:
        settings = overlay(settings, read_yaml(tree / f"recipes/{recipe}.yaml"))
    if settings["backbone"]["weights"] == "imagenet" and not os.environ.get("SORTLINE_WEIGHTS_DIR"):
        settings = overlay(settings, {"backbone": {"weights": None}})
    return overlay(overlay(settings, {"validate": {"expected_counts": None}}), changes)


def read_all(data: Path) -> None:
    """Bring every file into the kernel's cache: whoever runs first is not to pay for the disk."""
    for path in data.glob("*/*/*"):
        path.read_bytes()


def link_images(data: Path, target: Path, share: float = 1.0) -> int:
    """Link a share of every class of every split into `target/data`; the number of images."""
    linked = 0
    for place in sorted({path.parent for path in data.glob("*/*/*")}):
        inside = sorted(place.iterdir())
        for path in inside[: max(2, round(share * len(inside)))]:
            link = target / "data" / path.relative_to(data)
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, link)
            linked += 1
    return linked


def prepare(folder: Path, settings: Mapping[str, Any]) -> None:
    """Everything but `data/`: settings, and a champion that is none unless there is one."""
    if not (folder / "champion").exists():
        shutil.copytree(ROOT / "champion", folder / "champion")
    YAML(typ="safe").dump(dict(settings), folder / "params.yaml")


def run_step(folder: Path, step: str, tree: Path = ROOT, *, quiet: bool = False) -> Cost:
    """Run one step of a checkout in `folder`, whose features and checkpoints stay inside it."""
    started = time.monotonic()
    own = {"SORTLINE_STATE_DIR": str(folder / ".sortline"), "PYTHONPATH": str(tree)}
    command = [sys.executable, "-m", f"pipeline_steps.{step}"]
    output = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, **own}, stdout=output)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{step} ended with {process.returncode}")
    cpu_s = usage.ru_utime + usage.ru_stime
    return Cost(time.monotonic() - started, cpu_s, usage.ru_maxrss / 1024)
