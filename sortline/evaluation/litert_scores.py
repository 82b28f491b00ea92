"""What the LiteRT files lose in accuracy, and gain in time, against the SavedModel."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from sortline.evaluation.bootstrap import paired_difference, paired_interval
from sortline.evaluation.latency import Call, percentiles, time_in_turns
from sortline.evaluation.settings import EvaluateParams
from sortline.model.contract import PREDICT_TENSOR
from sortline.model.litert import Interpreted, Pixels, chosen, read_litert, read_pixels
from sortline.model.local_model import Served

Bools = npt.NDArray[np.bool_]
_TIMED_IMAGES = 16


@dataclass(frozen=True)
class LiteRtScores:
    """By kind, `float32` and `int8`: entries of metrics.json and of latency.json."""

    metrics: dict[str, dict[str, Any]]
    latency: dict[str, dict[str, Any]]


def _right(
    interpreted: dict[str, Interpreted], model: Served, rows: pd.DataFrame, root: Path
) -> dict[str, Bools]:
    """By kind, for which of the rows [N] its file names the true class."""
    right = {kind: np.zeros(len(rows), bool) for kind in interpreted}
    valid = rows["valid"].to_numpy(bool)
    pixels = read_pixels(rows[valid], root, model.contract.preprocessing.image_size_px)
    at = zip(np.flatnonzero(valid), rows["label"][valid], pixels, strict=True)
    for row, label, image in tqdm(at, "evaluate: LiteRT", int(valid.sum()), unit="img"):
        for kind, file in interpreted.items():
            (best,) = chosen(file.probabilities(image)[np.newaxis], model.contract.threshold)
            right[kind][row] = model.labels[best] == label
    return right


def loss(right: Bools, reference: Bools, samples: int, seed: int) -> dict[str, Any]:
    """How many of the images [N] a file gets right, and how many fewer than its SavedModel.

    `interval` is the paired bootstrap's, 95 %, of `accuracy_lost`, which is negative for a gain.
    """
    difference = paired_difference(right, reference, samples, seed)
    low, high = paired_interval(right, reference, samples, seed)
    return {
        "accuracy": float(right.mean()),
        "accuracy_lost": 0.0 - difference.observed,  # Not -0.0.
        "interval": (0.0 - high, 0.0 - low),
        "only_right_here": difference.won,
        "only_right_there": difference.lost,
    }


def _of_signature(model: Served, pixels: Pixels) -> Call:
    signature, image = model.loaded.signatures[PREDICT_TENSOR], tf.constant(pixels[np.newaxis])

    def call() -> object:
        return signature(image=image)["probabilities"].numpy()

    return call


def speed(model: Served, file: Interpreted, images: list[Pixels], calls: int) -> dict[str, Any]:
    """Milliseconds of one image, in turns with the SavedModel's on the same decoded pixels.

    Both use all cores; `speedup` is the ratio of the medians.
    """
    stored = [file.stored(each) for each in images]
    graphs = [_of_signature(model, each) for each in images]
    ours, theirs = time_in_turns(
        _in_turn([partial(file.run, each) for each in stored]), _in_turn(graphs), calls
    )
    speedup = float(np.median(theirs) / np.median(ours))
    return {
        **percentiles(ours),
        "speedup": round(speedup, 3),
        "calls": calls,
        "saved_model": percentiles(theirs),
    }


def _in_turn(calls: Sequence[Call]) -> Call:
    following = cycle(calls)

    def call() -> object:
        return next(following)()

    return call


def _timed(model: Served, rows: pd.DataFrame, root: Path) -> list[Pixels]:
    """A few images that the model can read, spread evenly over the rows."""
    readable = rows[rows["valid"]]
    chosen = readable.iloc[:: max(1, len(readable) // _TIMED_IMAGES)].head(_TIMED_IMAGES)
    return list(read_pixels(chosen, root, model.contract.preprocessing.image_size_px))


def score_litert(
    model: Served, folder: Path, rows: pd.DataFrame, params: EvaluateParams, root: Path
) -> LiteRtScores:
    """Score and time the files of `artifacts/litert` beside the SavedModel.

    Args:
        model: the SavedModel.
        folder: where the files are.
        rows: of the test split: path, sha256, label, correct and valid, of the SavedModel. What it
            cannot read is wrong for the files, too.
        params: for the bootstrap and the number of timed calls.
        root: where the paths begin.

    Raises:
        ArtifactError: the files are not there, or not of this model.
        DataError: an image is missing, or is not the validated one.
    """
    files = read_litert(folder, model.contract.model_digest)
    if not files:
        return LiteRtScores({}, {})
    threads = len(os.sched_getaffinity(0))  # TensorFlow takes as many.
    interpreted = {kind: Interpreted(flat, threads) for kind, flat in files.items()}
    right = _right(interpreted, model, rows, root)
    reference, samples = rows["correct"].to_numpy(bool), params.evaluate.bootstrap_samples
    timed = _timed(model, rows, root)
    return LiteRtScores(
        {
            kind: {**loss(right[kind], reference, samples, params.seed), "size_bytes": len(flat)}
            for kind, flat in files.items()
        },
        {
            kind: speed(model, each, timed, params.evaluate.latency_calls)
            for kind, each in interpreted.items()
        },
    )
