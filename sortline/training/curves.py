"""The curves of a training step, written after every epoch.

    reports/STEP/live/plots/metrics/SPLIT/METRIC.tsv   step and value, a row an epoch: `dvc plots`
    reports/STEP/live/metrics.json                     the values of the last epoch
    .sortline/tensorboard/STEP-KEY/                    the same rows for TensorBoard, a run a phase

TensorBoard's events hold the time at which they were written, and the outputs of a stage have to be
the same bytes in every run: events lie in the state folder.
"""

import json
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf

Row = dict[str, float]
_FILE_VERSION = "brain.Event:2"  # Of TensorBoard's files; it has to be their first record.


def _points(row: Row) -> dict[tuple[str, str], float]:
    """Values by split and metric; what does not name a split is of train."""
    return {
        ("val", name[4:]) if name.startswith("val_") else ("train", name): value
        for name, value in row.items()
        if name not in ("epoch", "seconds")
    }


class Curves:
    """Tables of a step's epochs, in a folder that is not there yet, and TensorBoard's events."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: dict[str, Any] = {}
        self._events: tf.io.TFRecordWriter | None = None
        folder.mkdir(parents=True)
        self._write_last()

    @contextmanager
    def tensorboard(self, folder: Path) -> Iterator[None]:
        """Write the epochs of the block to an event file in `folder`, too.

        Events of an earlier run of the same phase are replaced: one that resumes writes all its
        epochs again.
        """
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        with tf.io.TFRecordWriter(str(folder / "events.out.tfevents.sortline")) as writer:
            _write_event(writer, file_version=_FILE_VERSION)
            self._events = writer
            yield
        self._events = None

    def add(self, row: Row) -> None:
        """Write an epoch: its number `epoch`, from 1, and its figures by name."""
        step, points = int(row["epoch"]), _points(row)
        self._last.pop("step", None)  # It stays the last key of the file.
        for (split, metric), value in points.items():
            self._append(split, metric, step, value)
            # JSON knows no NaN and no infinity.
            shown = value if math.isfinite(value) else str(value)
            self._last.setdefault(split, {})[metric] = shown
        self._last["step"] = step
        self._write_last()
        if self._events is not None:
            values = [
                tf.compat.v1.Summary.Value(tag=f"{split}/{metric}", simple_value=value)
                for (split, metric), value in points.items()
            ]
            _write_event(self._events, step=step, summary=tf.compat.v1.Summary(value=values))

    def _append(self, split: str, metric: str, step: int, value: float) -> None:
        path = self._folder / "plots" / "metrics" / split / f"{metric}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="") as file:
            if file.tell() == 0:
                file.write(f"step\t{metric}\n")
            file.write(f"{step}\t{value}\n")

    def _write_last(self) -> None:
        text = json.dumps(self._last, indent=4) + "\n"
        (self._folder / "metrics.json").write_text(text, encoding="utf-8")


def _write_event(writer: tf.io.TFRecordWriter, **content: Any) -> None:
    event = tf.compat.v1.Event(wall_time=time.time(), **content)
    writer.write(event.SerializeToString())
    writer.flush()  # Somebody may be watching.
