# /// script
# requires-python = ">=3.11"
# dependencies = ["mlflow-skinny>=3.1,<4", "pyyaml>=6.0"]
# ///
"""Send a run to MLflow: `uv run examples/mlflow_run.py runs/demo`.

MLflow cannot be installed beside Airflow, so this program has an environment of its own, which `uv`
makes from the lines above. It reads files alone, and nothing of Sortline. MLFLOW_TRACKING_URI names
your server, and MLFLOW_EXPERIMENT_NAME the experiment, which is "sortline" without it.
"""

import csv
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import yaml
from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

_LONGEST = 6000  # Characters that MLflow keeps of a parameter.


def flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings by their dotted names, e.g. `train_phase1.epochs`."""
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value)[:_LONGEST]


def curves(reports: Path, at_ms: int) -> Iterator[Metric]:
    """Every point of every curve: STEP/SPLIT/METRIC, the epoch as its step."""
    for file in sorted(reports.glob("*/live/plots/metrics/*/*.tsv")):
        step, split = file.parts[-6], file.parts[-2]
        with file.open(encoding="utf-8", newline="") as lines:
            for epoch, value in list(csv.reader(lines, delimiter="\t"))[1:]:
                yield Metric(f"{step}/{split}/{file.stem}", float(value), at_ms, int(epoch))


def main(folder: str) -> int:
    """Send what a run's folder holds; 2 if it holds no run."""
    run, reports = Path(folder), Path(folder) / "reports"
    scores = reports / "evaluation" / "metrics.json"
    if not scores.is_file():
        print(f"{scores} is missing: {folder} is not the folder of a run.", file=sys.stderr)
        return 2
    figures = json.loads(scores.read_text(encoding="utf-8"))
    blessing = json.loads((reports / "blessing.json").read_text(encoding="utf-8"))
    settings = yaml.safe_load((run / "params.yaml").read_text(encoding="utf-8"))
    at_ms = int(scores.stat().st_mtime * 1000)
    points = [
        Metric(f"test/{name}", float(value), at_ms, 0)
        for name, value in figures.items()
        if isinstance(value, int | float)
    ]
    points += curves(reports, at_ms)
    mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", "sortline"))
    tags = {
        "sortline.model": figures["model_digest"],
        "sortline.blessed": str(blessing["blessed"]).lower(),
    }
    with mlflow.start_run(run_name=run.resolve().name, tags=tags) as started:
        client = MlflowClient()
        params = [Param(name, value) for name, value in flat(settings)]
        for start in range(0, len(params), 100):  # What one request may hold.
            client.log_batch(started.info.run_id, params=params[start : start + 100])
        for start in range(0, len(points), 1000):
            client.log_batch(started.info.run_id, metrics=points[start : start + 1000])
        for name in ("report.html", "reports/blessing.md"):
            if (run / name).is_file():
                mlflow.log_artifact(str(run / name))
    print(f"Sent {len(params)} settings and {len(points)} values as run {started.info.run_id}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
