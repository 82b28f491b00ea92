"""Seconds and peak memory of each step, at several sizes of the dataset.

    python bench/memory.py [--images 2000 4000 8000 16000] [--recipe demo] [--epochs 1]

Links so many images of `data/` into a folder of its own and runs the seven steps there, each in
its own process, with an empty feature cache; peak memory is what the kernel says of that process.
Epochs cost time alone, so that few are run. Without SORTLINE_WEIGHTS_DIR, ImageNet weights are
replaced by random ones: they take as much room. Prints a table and writes it as JSON.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline_steps.params import overlay, read_yaml

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "bench/results/memory.json"
STEPS = ("validate", "augment", "train_phase1", "fine_tune_phase2", "export", "evaluate", "gate")
LIMIT_MIB = 4096
GROWTH = (4000, 16000, 1.1)  # Peak memory at the second size over that at the first, at most.


def _settings(recipe: str | None, epochs: int) -> dict[str, Any]:
    settings = dict(read_yaml(ROOT / "params.yaml"))
    if recipe:
        settings = overlay(settings, read_yaml(ROOT / f"recipes/{recipe}.yaml"))
    short = {"epochs": epochs, "warmup_epochs": 0}
    settings = overlay(settings, {"train_phase1": short, "fine_tune_phase2": short})
    settings = overlay(settings, {"validate": {"expected_counts": None}})
    if settings["backbone"]["weights"] == "imagenet" and not os.environ.get("SORTLINE_WEIGHTS_DIR"):
        settings = overlay(settings, {"backbone": {"weights": None}})
    return settings


def make_workspace(folder: Path, images: int, settings: dict[str, Any]) -> int:
    """Link a share of every class of every split; the number of images."""
    files = sorted((ROOT / "data").glob("*/*/*"))
    share = min(1.0, images / len(files))
    linked = 0
    for place in sorted({path.parent for path in files}):
        inside = sorted(place.iterdir())
        for path in inside[: max(2, round(share * len(inside)))]:
            link = folder / path.relative_to(ROOT)
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, link)
            linked += 1
    shutil.copytree(ROOT / "champion", folder / "champion")
    YAML(typ="safe").dump(settings, folder / "params.yaml")
    return linked


def run_step(folder: Path, step: str) -> tuple[float, float]:
    """Run one step; seconds, and peak resident memory in MiB."""
    started = time.monotonic()
    state = {"SORTLINE_STATE_DIR": str(folder / ".sortline")}
    command = [sys.executable, "-m", f"pipeline_steps.{step}"]
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, **state})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{step} ended with {process.returncode}")
    return time.monotonic() - started, usage.ru_maxrss / 1024


def measure(images: int, settings: dict[str, Any]) -> dict[str, Any]:
    """All steps on so many images."""
    # Beside the data: a hard link does not cross file systems.
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench.", suffix=".partial") as name:
        linked = make_workspace(Path(name), images, settings)
        steps = {step: run_step(Path(name), step) for step in STEPS}
        features = sum(path.stat().st_size for path in Path(name).glob(".sortline/features/*/*"))
    return {
        "images": linked,
        "seconds": {step: round(seconds, 1) for step, (seconds, _) in steps.items()},
        "peak_mib": {step: round(mib) for step, (_, mib) in steps.items()},
        "features_mb": round(features / 1e6),
    }


def table(results: list[dict[str, Any]]) -> str:
    """The figures as Markdown."""
    lines = ["| images | features | " + " | ".join(STEPS) + " |", "|---" * (len(STEPS) + 2) + "|"]
    for result in results:
        cells = [f"{result['peak_mib'][s]:,} MiB, {result['seconds'][s]:,.0f} s" for s in STEPS]
        head = [f"{result['images']:,}", f"{result['features_mb']:,} MB"]
        lines.append("| " + " | ".join([*head, *cells]) + " |")
    return "\n".join(lines)


def verdicts(results: list[dict[str, Any]], sizes: list[int]) -> list[str]:
    """What was promised, and what was measured."""
    peaks = {size: max(r["peak_mib"].values()) for size, r in zip(sizes, results, strict=True)}
    worst = max(peaks.values())
    said = [f"{'ok' if worst < LIMIT_MIB else 'MISSED'}: peak {worst:,} MiB, under {LIMIT_MIB:,}"]
    small, large, most = GROWTH
    if small in peaks and large in peaks:
        growth = peaks[large] / peaks[small]
        held = "ok" if growth <= most else "MISSED"
        said.append(f"{held}: peak at {large:,} over {small:,} images {growth:.2f}, at most {most}")
    return said


def main() -> int:
    """Measure, print, write; 1 when a promise is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[2000, 4000, 8000, 16000])
    parser.add_argument("--recipe")
    parser.add_argument("--epochs", type=int, default=1)
    arguments = parser.parse_args()
    settings = _settings(arguments.recipe, arguments.epochs)
    results = [measure(images, settings) for images in arguments.images]
    said = verdicts(results, arguments.images)
    facts = {"recipe": arguments.recipe or "params.yaml", "runs": results, "verdicts": said}
    RESULT.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(table(results), *said, sep="\n")
    return int(any(line.startswith("MISSED") for line in said))


if __name__ == "__main__":
    sys.exit(main())
