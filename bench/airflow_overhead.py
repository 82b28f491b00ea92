"""What Airflow costs: the DAG's time over that of `dvc repro`, on the same images and recipe.

    python bench/airflow_overhead.py [--recipe demo] [--images 19723] [--data data]

Makes two repositories of this commit with so many images of DIR, each with a cache and features
of its own. In one runs `dvc repro`; in the other, `sortline airflow up`'s Airflow runs the DAG as a
dry run. Infra validation, which `dvc repro` has not, is taken off. Prints a table and writes it as
JSON.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from datetime import datetime
from pathlib import Path
from typing import Any

from steps import ROOT, link_images

from sortline.core.errors import UnreachableError
from sortline.core.params import overlay, read_yaml
from sortline.orchestration import embedded
from sortline.orchestration.airflow_api import AirflowApi
from sortline.orchestration.embedded_home import prepare

RESULT = ROOT / "bench/results/airflow_overhead.json"
LIMIT_S = 60.0
_POLL_S = 1.0


def _call(folder: Path, *command: str) -> None:
    identity = {f"GIT_{role}_NAME": "bench" for role in ("AUTHOR", "COMMITTER")}
    identity |= {f"GIT_{role}_EMAIL": "bench@localhost" for role in ("AUTHOR", "COMMITTER")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, **identity, "PATH": path})


def make_repository(folder: Path, recipe: str, data: Path, images: int) -> int:
    """A clone with so many images, and the recipe in params.yaml; the number of images."""
    from ruamel.yaml import YAML

    _call(ROOT, "git", "clone", "--quiet", str(ROOT), str(folder))
    files = sum(1 for _ in data.glob("*/*/*"))
    if not files:
        raise SystemExit(
            f"{data} has no images: run `sortline generate`, or name another by --data."
        )
    linked = link_images(data, folder, min(1.0, images / files))
    settings = overlay(
        read_yaml(folder / "params.yaml"), read_yaml(ROOT / f"recipes/{recipe}.yaml")
    )
    settings = overlay(settings, {"validate": {"expected_counts": None}})
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(settings, file)
    (folder / "dvc.lock").unlink(missing_ok=True)
    _call(folder, "dvc", "add", "--quiet", "data")
    _call(folder, "git", "add", "--all")
    _call(folder, "git", "commit", "--quiet", "--message", "bench")
    return linked


def time_of_repro(folder: Path) -> float:
    """Seconds of `dvc repro` from nothing."""
    started = time.monotonic()
    _call(folder, "dvc", "repro", "--quiet")
    return time.monotonic() - started


def _seconds(value: dict[str, Any]) -> float:
    ends = [datetime.fromisoformat(value[name]) for name in ("start_date", "end_date")]
    return (ends[1] - ends[0]).total_seconds()


def _ended(api: AirflowApi, path: str) -> dict[str, Any]:
    while True:
        try:
            run: dict[str, Any] = api.call("GET", path)
        except UnreachableError:
            continue  # The machine is busy with the very work that is timed.
        if run["state"] in ("success", "failed"):
            return run
        time.sleep(_POLL_S)


def time_of_dag(folder: Path) -> tuple[float, dict[str, float]]:
    """Seconds of a run of the DAG without infra validation; seconds of each task.

    Raises:
        SystemExit: the run failed.
    """
    home = prepare(folder, folder / ".airflow", 0)
    with embedded.running(home, threading.Event()):
        api = home.api()
        run_id = urllib.parse.quote(api.trigger(embedded.DAG_ID, {"dry_run": True}))
        path = f"/dags/{embedded.DAG_ID}/dagRuns/{run_id}"
        run = _ended(api, path)
        tasks = api.call("GET", f"{path}/taskInstances")["task_instances"]
    if run["state"] != "success":
        raise SystemExit(f"The run failed: look into {folder / '.airflow' / 'logs'}.")
    spent = {task["task_id"]: round(task["duration"] or 0.0, 1) for task in tasks}
    return _seconds(run) - spent["infra_validate"], spent


def main() -> int:
    """Measure, print, write; 1 when a promise is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--images", type=int, default=19723)
    parser.add_argument("--data", type=Path, default=ROOT / "data")
    arguments = parser.parse_args()
    os.environ.pop("SORTLINE_STATE_DIR", None)
    # Beside the data: a hard link does not cross file systems.
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench.", suffix=".partial") as name:
        plain, scheduled = Path(name) / "plain", Path(name) / "scheduled"
        images = make_repository(plain, arguments.recipe, arguments.data, arguments.images)
        shutil.copytree(plain, scheduled)
        dag_s, tasks = time_of_dag(scheduled)
        repro_s = time_of_repro(plain)
    overhead = dag_s - repro_s
    load = round(os.getloadavg()[2], 1)
    result = {
        "images": images,
        "recipe": arguments.recipe,
        "load_15min": load,
        "dag_s": round(dag_s, 1),
    }
    result |= {"repro_s": round(repro_s, 1), "overhead_s": round(overhead, 1), "tasks_s": tasks}
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print("| images | dvc repro | DAG | more | load |", "|---|---|---|---|---|", sep="\n")
    print(f"| {images:,} | {repro_s:.0f} s | {dag_s:.0f} s | {overhead:+.0f} s | {load} |")
    held = overhead <= LIMIT_S
    print(f"{'ok' if held else 'MISSED'}: {overhead:.0f} s more, at most {LIMIT_S:.0f}")
    return int(not held)


if __name__ == "__main__":
    sys.exit(main())
