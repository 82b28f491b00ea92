"""dvc.yaml's plots and TensorBoard show what training wrote; a changed form empties both."""

from pathlib import Path

import pytest
import tensorflow as tf

from sortline.core.tfrecord import read_records
from sortline.training.curves import Curves

ROWS = [
    {"epoch": 1, "loss": 1.0, "accuracy": 1 / 3, "val_loss": float("nan"), "val_accuracy": 0.0},
    {"epoch": 2, "loss": 0.25, "accuracy": 1.0, "val_loss": float("inf"), "val_accuracy": 1e-17},
]
for row in ROWS:
    row |= {"learning_rate": 1e-05, "seconds": 3.0}

# What dvclive 3.49, which wrote these files before, makes of the same rows.
TABLES = {
    "train/accuracy.tsv": "step\taccuracy\n1\t0.3333333333333333\n2\t1.0\n",
    "train/learning_rate.tsv": "step\tlearning_rate\n1\t1e-05\n2\t1e-05\n",
    "train/loss.tsv": "step\tloss\n1\t1.0\n2\t0.25\n",
    "val/accuracy.tsv": "step\taccuracy\n1\t0.0\n2\t1e-17\n",
    "val/loss.tsv": "step\tloss\n1\tnan\n2\tinf\n",
}
LAST = """{
    "train": {
        "loss": 0.25,
        "accuracy": 1.0,
        "learning_rate": 1e-05
    },
    "val": {
        "loss": "inf",
        "accuracy": 1e-17
    },
    "step": 2
}
"""


def events(folder: Path) -> list[tf.compat.v1.Event]:
    (path,) = folder.glob("*tfevents*")
    return [tf.compat.v1.Event.FromString(each) for each in read_records(path.read_bytes())]


def test_the_tables_of_dvc_plots_are_those_of_before(tmp_path: Path) -> None:
    folder = tmp_path / "live"
    curves = Curves(folder)
    assert (folder / "metrics.json").read_text() == "{}\n"
    for row in ROWS:
        curves.add(row)
    tables = folder / "plots" / "metrics"
    written = {p.relative_to(tables).as_posix(): p.read_text() for p in tables.glob("*/*")}
    assert written == TABLES
    assert (folder / "metrics.json").read_text() == LAST


def test_tensorboard_gets_every_epoch_once_after_a_restart_too(tmp_path: Path) -> None:
    for attempt in ("killed", "whole"):
        curves = Curves(tmp_path / attempt)
        with curves.tensorboard(tmp_path / "tensorboard" / "train_phase1-key"):
            for row in ROWS:
                curves.add(row)
    version, *epochs = events(tmp_path / "tensorboard" / "train_phase1-key")
    assert version.file_version == "brain.Event:2"
    assert [event.step for event in epochs] == [1, 2]
    assert {value.tag: value.simple_value for value in epochs[1].summary.value} == {
        "train/loss": 0.25,
        "train/accuracy": 1.0,
        "train/learning_rate": pytest.approx(1e-05),
        "val/loss": float("inf"),
        "val/accuracy": pytest.approx(1e-17),
    }


def test_a_watcher_sees_an_epoch_as_soon_as_it_ends(tmp_path: Path) -> None:
    curves = Curves(tmp_path / "live")
    with curves.tensorboard(tmp_path / "events"):
        curves.add(ROWS[0])
        assert [event.step for event in events(tmp_path / "events")] == [0, 1]
