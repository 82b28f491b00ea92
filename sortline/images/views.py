"""One augmented view of an image, as TensorFlow graph operations without any random state.

A view is a vector of drawn parameters: `FIELDS`, in this order, then those of the registered
augmentations that are on (augmentations/). The same vector gives the same pixels eagerly, inside
`tf.data` and in parallel. The vectors are drawn by the step `augment`. How a parameter is drawn
stands beside what it does: where pixels come from in geometry.py, what becomes of their colours in
colour.py. All read the parameters by name.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import tensorflow as tf

from sortline.images import augmentations, colour, geometry
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
    return {
        **geometry.draw(seeds, settings),
        **colour.draw(seeds, settings),
        **augmentations.draw(seeds, settings.added),
    }


def plain_vector(added: Sequence[str] = ()) -> np.ndarray:
    """The vector, float32 [K], of a view that changes nothing: `PLAIN`, 0 for what is added."""
    return np.append(PLAIN, np.zeros(len(augmentations.columns(added)), np.float32))


def view_vectors(plan: pd.DataFrame, added: Sequence[str] = ()) -> np.ndarray:
    """The vectors, float32 [N, K], of rows of views.parquet."""
    return plan[[*FIELDS, *augmentations.columns(added)]].to_numpy(np.float32)


def apply_view(
    image: tf.Tensor, vector: tf.Tensor, size_px: int, added: Sequence[str] = ()
) -> tf.Tensor:
    """Draw one view: uint8 [H, W, 3] and float32 [K] to float32 [S, S, 3] in 0..255.

    `plain_vector` gives exactly the pixels of `decode.resize(image, size_px)`.

    Args:
        image: its pixels.
        vector: `FIELDS`, then those of `added`.
        size_px: side of the square, S.
        added: names of registered augmentations.
    """
    fields = [*FIELDS, *augmentations.columns(added)]
    vector = tf.ensure_shape(tf.convert_to_tensor(vector, tf.float32), [len(fields)])
    view = dict(zip(fields, tf.unstack(vector), strict=True))

    def changed() -> tf.Tensor:
        return colour.apply(geometry.apply(image, view, size_px), view)

    plain = tf.reduce_all(vector[: len(FIELDS)] == PLAIN)
    pixels = tf.cond(plain, lambda: resize(image, size_px), changed)
    for name in added:
        values = [view[column] for column in augmentations.columns([name])]
        effect = augmentations.AUGMENTATIONS[name].effect
        pixels = tf.cond(
            tf.reduce_all(tf.stack(values) == 0.0),
            lambda pixels=pixels: pixels,
            lambda pixels=pixels, effect=effect, values=values: effect.apply(pixels, *values),
        )
    return tf.ensure_shape(pixels, [size_px, size_px, 3])
