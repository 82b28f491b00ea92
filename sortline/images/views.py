"""One augmented view of an image, as TensorFlow graph operations without any random state.

A view is a vector of drawn parameters (`FIELDS`, in this order); the same vector gives the same
pixels eagerly, inside `tf.data` and in parallel. The vectors are drawn by the step `augment`. How a
parameter is drawn stands beside what it does: where pixels come from in geometry.py, what becomes
of their colours in colour.py. Both read the parameters by name.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from sortline.images import colour, geometry
from sortline.images.decode import resize
from sortline.images.view_settings import Augment

_PLAIN = {**geometry.PLAIN, **colour.PLAIN}
# The order is part of the key of every cached row: it stays, and new fields come last.
FIELDS = tuple(_PLAIN)
PLAIN = np.array(list(_PLAIN.values()), dtype=np.float32)
PLAIN.flags.writeable = False


def draw(seeds: np.ndarray, settings: Augment) -> dict[str, np.ndarray]:
    """The drawn parameters of every seed, by field: float64 [N] each.

    A setting that changes leaves the draws of all others as they were.
    """
    return {**geometry.draw(seeds, settings), **colour.draw(seeds, settings)}


def view_vector(row: Mapping[str, Any]) -> np.ndarray:
    """The vector, float32 [11], of one row of views.parquet (a mapping or a pandas row)."""
    return np.array([row[field] for field in FIELDS], dtype=np.float32)


def apply_view(image: tf.Tensor, vector: tf.Tensor, size_px: int) -> tf.Tensor:
    """Draw one view: uint8 [H, W, 3] and float32 [11] to float32 [S, S, 3] in 0..255.

    `PLAIN` gives exactly the pixels of `decode.resize(image, size_px)`.
    """
    vector = tf.ensure_shape(tf.convert_to_tensor(vector, tf.float32), [len(FIELDS)])

    def changed() -> tf.Tensor:
        view = dict(zip(FIELDS, tf.unstack(vector), strict=True))
        return colour.apply(geometry.apply(image, view, size_px), view)

    plain = tf.reduce_all(vector == PLAIN)
    pixels = tf.cond(plain, lambda: resize(image, size_px), changed)
    return tf.ensure_shape(pixels, [size_px, size_px, 3])
