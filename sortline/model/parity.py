"""Proof that an exported model answers as the trained network does, on files and on pixels."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from sortline.core.errors import ExportError
from sortline.core.files import read_verified
from sortline.images.decode import decode_and_resize
from sortline.model.local_model import Predictions, Served
from sortline.training.calibration import probabilities

MAX_DIFFERENCE = 1e-5
_BATCH_FILES = 16


@dataclass(frozen=True)
class Parity:
    """Largest difference of a probability between the export and the trained network."""

    images: int
    max_difference_tensors: float
    max_difference_bytes: float


def batches(files: pd.DataFrame, root: Path, size: int) -> Iterator[list[bytes]]:
    """Bytes of the files (columns path, sha256), `size` at a time.

    Raises:
        DataError: a file is missing, or is not the validated one.
    """
    listed = list(zip(files["path"], files["sha256"], strict=True))
    for start in range(0, len(listed), size):
        yield [read_verified(root / path, sha256) for path, sha256 in listed[start : start + size]]


def parity_files(files: pd.DataFrame, images: int) -> pd.DataFrame:
    """At most so many rows, evenly spaced: sorted by path, they cover the classes."""
    count = min(images, len(files))
    return files.iloc[np.linspace(0, len(files) - 1, count).astype(int)]


def prove_parity(network: keras.Model, served: Served, files: pd.DataFrame, root: Path) -> Parity:
    """Compare the reloaded export with softmax(logits / T) of the network that Keras runs.

    Raises:
        ExportError: a probability differs by more than 1e-5, or two calls do not agree bit for bit.
    """
    tensors = raw = 0.0
    size_px = served.contract.preprocessing.image_size_px
    # As a graph, which is how it was trained and validated: operation by operation, float32 rounds
    # elsewhere, and logits of 20 and more then differ by more than is allowed.
    logits_of = tf.function(
        lambda pixels: network(pixels, training=False),
        input_signature=[tf.TensorSpec([None, size_px, size_px, 3], tf.float32)],
    )
    for batch in batches(files, root, _BATCH_FILES):
        pixels = np.stack([decode_and_resize(tf.constant(item), size_px).numpy() for item in batch])
        wanted = probabilities(logits_of(pixels).numpy(), served.contract.temperature)
        from_bytes = served.predict_bytes(batch)
        tensors = max(tensors, _difference(served.predict_tensor(pixels), wanted))
        raw = max(raw, _difference(from_bytes, wanted))
        _check_repeats(from_bytes, served.predict_bytes(batch))
    if max(tensors, raw) > MAX_DIFFERENCE:
        raise ExportError(
            f"The export and the network differ by up to {tensors:.1e} on decoded images and"
            f" {raw:.1e} on files; at most {MAX_DIFFERENCE:.0e} is allowed. A layer behaves"
            " differently in training and in inference, or export.temperature is very small."
        )
    return Parity(len(files), tensors, raw)


def _difference(seen: Predictions, wanted: npt.NDArray[np.float64]) -> float:
    if not seen.valid.all():
        raise ExportError(
            f"The export calls {int((~seen.valid).sum())} of {len(seen.valid)} validation images"
            " invalid that the training read. Run `dvc repro validate`."
        )
    return float(np.abs(seen.probabilities - wanted).max())


def _check_repeats(first: Predictions, second: Predictions) -> None:
    for name, values in vars(first).items():
        if not np.array_equal(values, getattr(second, name)):
            raise ExportError(
                f"Two calls with the same images differ in {name}: something in the graph is random"
                " at inference. Take augmentation and noise out of the network."
            )
