"""The results table of the README: real photographs, the reference recipe and an augmented one.

    SORTLINE_WASTE10=... SORTLINE_WEIGHTS_DIR=... python bench/waste10.py [--workspace DIR]

Clones the repository's HEAD into a workspace of its own, ingests the photographs there, runs the
graph once with params.yaml and once with recipes/augmented.yaml, and prints the table as Markdown.
Recipes were chosen on the validation split; the test split is scored once a row. Run again, it goes
on from what is there.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sortline.core.errors import SortlineError
from sortline.core.git import git
from sortline.evaluation import metrics

ROOT = Path(__file__).parents[1]
# Measured figures of the same recipe on another split of the same photographs (9,805 for training
# instead of 80 % of what is left of 11,032): test accuracy after each phase.
EXPECTED = {"phase 1": 0.915, "phase 2": 0.927}
TOLERANCE = 0.02
TO_BEAT = 0.939


@dataclass(frozen=True)
class Row:
    """One row of the table; seconds of training, extraction of features included."""

    name: str
    accuracy: float
    interval: tuple[float, float] | None
    macro_f1: float
    recall: dict[str, float]
    val_accuracy: float
    seconds: float


def _environment(workspace: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # The workspace's own package, not the one that is installed.
    return {**os.environ, "PATH": path, "PYTHONPATH": str(workspace)}


def _call(workspace: Path, *command: str) -> None:
    print("$", " ".join(command), flush=True)
    subprocess.run(command, cwd=workspace, env=_environment(workspace), check=True)


def _sortline(workspace: Path, *arguments: str) -> None:
    _call(workspace, sys.executable, "-m", "sortline", *arguments)


def prepare(workspace: Path, photographs: Path) -> None:
    """Clone HEAD, ingest the photographs, pin them."""
    if not (workspace / ".git").is_dir():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(workspace)], check=True)
    subprocess.run(["git", "pull", "--quiet", "--ff-only"], cwd=workspace, check=True)
    if not (workspace / "data").is_dir():
        _sortline(workspace, "ingest", str(photographs))
        _call(workspace, sys.executable, "-m", "dvc", "add", "--quiet", "data")


def _seconds(folder: Path, *stages: str) -> float:
    files = [folder / "reports" / stage / "seconds.json" for stage in stages]
    return sum(float(json.loads(file.read_text())["seconds"]) for file in files)


def _val_accuracy(folder: Path, phase: str) -> float:
    facts = json.loads((folder / "artifacts" / phase / "facts.json").read_text())
    return float(facts["metrics"]["val_accuracy"])


def exported_row(name: str, folder: Path) -> Row:
    """The row of a whole run: the figures that `evaluate` wrote of the exported model."""
    figures: dict[str, Any] = json.loads((folder / "reports/evaluation/metrics.json").read_text())
    return Row(
        name,
        figures["accuracy"],
        tuple(figures["intervals"]["accuracy"]),
        figures["macro_f1"],
        {label: each["recall"] for label, each in figures["per_class"].items()},
        _val_accuracy(folder, "phase2"),
        _seconds(folder, "train_phase1", "fine_tune_phase2"),
    )


def phase1_row(workspace: Path, folder: Path) -> Row:
    """The row of phase 1, whose network is not exported: Keras on the decoded test split."""
    from sortline.images.pixels import pixel_batches
    from sortline.images.views import PLAIN
    from sortline.orchestration.params import load
    from sortline.training.network import load_network

    params = load(folder)
    network, labels = load_network(folder / "artifacts/phase1", params)
    test = pd.read_parquet(folder / "reports/evaluation/predictions.parquet")
    files = [workspace / path for path in test["path"]]
    vectors = np.tile(PLAIN, (len(files), 1))
    batches = pixel_batches(files, vectors, params.backbone.image_size_px, 64)
    predicted = np.concatenate([network.predict_on_batch(x).argmax(1) for x in batches])
    true = np.array([labels.index(label) for label in test["label"]])
    counts = metrics.confusion_counts(true, predicted, len(labels))
    return Row(
        "phase 1",
        float(metrics.accuracy(counts)),
        None,
        float(metrics.macro_f1(counts)),
        dict(zip(labels, metrics.per_class(counts).recall.tolist(), strict=True)),
        _val_accuracy(folder, "phase1"),
        _seconds(folder, "train_phase1"),
    )


def table(rows: list[Row], commit: str, counts: str) -> str:
    """The rows as Markdown."""
    labels = list(rows[0].recall)
    head = ["", "test accuracy", "macro-F1", "val accuracy", "training", *labels]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        low_high = f" ({row.interval[0]:.1%} to {row.interval[1]:.1%})" if row.interval else ""
        cells = [
            row.name,
            f"{row.accuracy:.2%}{low_high}",
            f"{row.macro_f1:.3f}",
            f"{row.val_accuracy:.2%}",
            f"{row.seconds:,.0f} s",
            *(f"{row.recall[label]:.2f}" for label in labels),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"Commit {commit}; {counts}. The last columns are recalls."])


def verdicts(rows: list[Row]) -> list[str]:
    """What was promised of these rows, in words; the second half of each line is measured."""
    said = []
    for row in rows[:2]:
        expected = EXPECTED[row.name]
        held = row.accuracy >= expected - TOLERANCE
        said.append(
            f"{'ok' if held else 'MISSED'}: {row.name} within {100 * TOLERANCE:.0f} points of"
            f" {expected:.1%}: {row.accuracy:.2%}"
        )
    best = rows[2].accuracy
    said.append(f"{'ok' if best > TO_BEAT else 'MISSED'}: augmented over {TO_BEAT:.1%}: {best:.2%}")
    return said


def main() -> None:
    """Run both recipes and print the table; exit 1 when a promise is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workspace", type=Path, default=ROOT / ".sortline/bench/waste10")
    workspace = parser.parse_args().workspace.resolve()
    missing = [v for v in ("SORTLINE_WASTE10", "SORTLINE_WEIGHTS_DIR") if not os.environ.get(v)]
    if missing:
        raise SystemExit(f"Set {' and '.join(missing)}: see this file's first lines.")
    prepare(workspace, Path(os.environ["SORTLINE_WASTE10"]))
    _sortline(workspace, "run")
    _sortline(workspace, "run", "--recipe", "augmented")
    reference, augmented = workspace / "runs/params", workspace / "runs/augmented"
    rows = [
        phase1_row(workspace, reference),
        exported_row("phase 2", reference),
        exported_row("augmented", augmented),
    ]
    commit = git(workspace, "rev-parse", "--short", "HEAD").strip()
    counts = json.loads((reference / "reports/validation.json").read_text())
    images = ", ".join(f"{counts[split]:,} {split}" for split in ("train", "val", "test"))
    print(table(rows, commit, images))
    said = verdicts(rows)
    print("\n".join(said))
    if any(line.startswith("MISSED") for line in said):
        raise SystemExit(1)


if __name__ == "__main__":
    try:
        main()
    except SortlineError as error:
        raise SystemExit(f"sortline: {error}") from error
