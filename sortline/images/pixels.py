"""Batches of pixels from files and views, decoded ahead of the network that consumes them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from sortline.images.decode import decode_image
from sortline.images.views import apply_view

# Raise it when the same file and view give other pixels than before; a test holds reference pixels.
_ARITHMETIC = 1
_AHEAD = 2  # Batches decoded while the network works on one: memory stays small.


def fingerprint() -> dict[str, str | int]:
    """What besides an image's bytes and its view decides its pixels: TensorFlow, and our code."""
    return {"tensorflow": tf.__version__, "arithmetic": _ARITHMETIC}


def pixel_batches(
    files: Sequence[Path],
    vectors: npt.NDArray[Any],
    size_px: int,
    batch_size: int,
    added: Sequence[str] = (),
) -> Iterator[npt.NDArray[Any]]:
    """Float32 [n, S, S, 3] in 0..255, in the order of `files`.

    Args:
        files: path of each row; they were accepted by the validate step.
        vectors: view of each row, float32 [R, K].
        size_px: side of the square, S.
        batch_size: n; the last batch may be smaller.
        added: registered augmentations whose fields the vectors have after the built-in ones.
    """
    paths = np.array([str(path) for path in files], dtype=np.bytes_)

    def load(path: tf.Tensor, vector: tf.Tensor) -> tf.Tensor:
        return apply_view(decode_image(tf.io.read_file(path)), vector, size_px, added)

    rows = tf.data.Dataset.from_tensor_slices((paths, vectors.astype("float32")))
    pixels = rows.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    yield from pixels.batch(batch_size).prefetch(_AHEAD).as_numpy_iterator()
