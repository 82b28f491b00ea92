"""An augmentation of your own: a square of the view turns grey.

Zhong et al., "Random Erasing Data Augmentation", 2017. To use it, copy this file into
plugins/augmentations/ and set `augment.erase` in params.yaml, such as to 0.3.
"""

from typing import Annotated

import numpy as np
import tensorflow as tf
from pydantic import Field

from sortline.images.augmentations import augmentation


@augmentation(
    "erase", setting=Annotated[float, Field(gt=0.0, le=0.5)], fields=("side", "top", "left")
)
class Erase:
    """A square, its side at most the setting's share of the view's."""

    def draw(self, numbers: np.ndarray, setting: float) -> np.ndarray:
        """Every second view gets one; the others have a side of 0."""
        chosen, top, left = numbers
        side = np.where(chosen < 0.5, 2.0 * chosen * setting, 0.0)
        return np.stack([side, top * (1.0 - side), left * (1.0 - side)])

    def apply(self, pixels: tf.Tensor, *values: tf.Tensor) -> tf.Tensor:
        """The pixels with the square in mid grey."""
        side, top, left = values
        height, width = (tf.cast(length, tf.float32) for length in tf.unstack(tf.shape(pixels)[:2]))
        y, x = (tf.range(height) + 0.5) / height, (tf.range(width) + 0.5) / width
        rows, columns = (y >= top) & (y < top + side), (x >= left) & (x < left + side)
        inside = rows[:, tf.newaxis, tf.newaxis] & columns[tf.newaxis, :, tf.newaxis]
        return tf.where(inside, 127.5, pixels)
