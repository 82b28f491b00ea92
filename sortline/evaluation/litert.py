"""What the LiteRT files lose in accuracy, and gain in time, against their SavedModel."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from sortline.evaluation.latency import percentiles, time_in_turns, timed_files
from sortline.evaluation.metrics import Bools, paired_difference
from sortline.evaluation.settings import EvaluateParams
from sortline.model.contract import PREDICT_TENSOR
from sortline.model.litert import Interpreted, chosen, read_pixels
from sortline.model.local_model import Served


def litert_metrics(
    model: Served,
    files: Mapping[str, Interpreted],
    rows: pd.DataFrame,
    root: Path,
    params: EvaluateParams,
) -> dict[str, dict[str, Any]]:
    """What the LiteRT files lose in accuracy against their SavedModel, by kind.

    Args:
        model: the SavedModel.
        files: by kind, `float32` and `int8`.
        rows: of the test split: path, sha256, label, correct and valid, of the SavedModel. What it
            cannot read is wrong for the files, too.
        root: where the paths begin.
        params: for the bootstrap.

    Raises:
        DataError: an image is missing, or is not the validated one.
    """
    if not files:
        return {}
    right = {kind: np.zeros(len(rows), bool) for kind in files}
    valid = rows["valid"].to_numpy(bool)
    pixels = read_pixels(rows[valid], root, model.contract.preprocessing.image_size_px)
    at = zip(np.flatnonzero(valid), rows["label"][valid], pixels, strict=True)
    for row, label, image in tqdm(at, "evaluate: LiteRT", int(valid.sum()), unit="img"):
        for kind, file in files.items():
            (best,) = chosen(file.probabilities(image)[np.newaxis], model.contract.threshold)
            right[kind][row] = model.labels[best] == label
    reference, samples = rows["correct"].to_numpy(bool), params.evaluate.bootstrap_samples
    return {
        kind: {
            **loss(right[kind], reference, samples, params.seed),
            "size_bytes": file.size_bytes,
        }
        for kind, file in files.items()
    }


def loss(right: Bools, reference: Bools, samples: int, seed: int) -> dict[str, Any]:
    """How many of the images [N] a file gets right, and how many fewer than its SavedModel.

    `interval` is the paired bootstrap's, 95 %, of `accuracy_lost`, which is negative for a gain.
    """
    difference = paired_difference(right, reference, samples, seed)
    low, high = difference.interval
    return {
        "accuracy": float(right.mean()),
        "accuracy_lost": 0.0 - difference.observed,  # Not -0.0.
        "interval": (0.0 - high, 0.0 - low),
        "only_right_here": difference.won,
        "only_right_there": difference.lost,
    }


def litert_latency(
    model: Served, files: Mapping[str, Interpreted], rows: pd.DataFrame, root: Path, calls: int
) -> dict[str, dict[str, Any]]:
    """By kind, milliseconds of one image, in turns with the SavedModel on the same decoded pixels.

    Both use all cores; `speedup` is the ratio of the medians. The arguments are those of `measure`.
    """
    if not files:
        return {}
    size_px = model.contract.preprocessing.image_size_px
    images = list(read_pixels(timed_files(rows), root, size_px))
    latency = {}
    for kind, file in files.items():
        ours, theirs = time_in_turns(
            [partial(file.run, file.stored(image)) for image in images],
            [partial(_probabilities, model, tf.constant(image[np.newaxis])) for image in images],
            calls,
        )
        latency[kind] = {
            **percentiles(ours),
            "speedup": round(float(np.median(theirs) / np.median(ours)), 3),
            "calls": calls,
            "saved_model": percentiles(theirs),
        }
    return latency


def _probabilities(model: Served, image: tf.Tensor) -> object:
    return model.loaded.signatures[PREDICT_TENSOR](image=image)["probabilities"].numpy()
