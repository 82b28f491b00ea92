"""What a view does to colours: brightness, contrast and saturation, in one pass over the pixels."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import tensorflow as tf

from sortline.images import geometry
from sortline.images.draws import around_zero, uniforms
from sortline.images.view_settings import Augment

# Fields of a view, and their values where nothing is changed.
PLAIN: Final = {
    "brightness": 0.0,  # added, of the full range
    "contrast": 1.0,  # factor around the mean luma
    "saturation": 1.0,  # factor around each pixel's luma
}
_LUMA: Final = (0.299, 0.587, 0.114)  # ITU-R BT.601


def draw(seeds: np.ndarray, settings: Augment) -> dict[str, np.ndarray]:
    """The fields of `PLAIN` for every seed, float64 [N] each."""
    brightness, contrast, saturation = uniforms(seeds, len(PLAIN), first=geometry.DRAWS)
    return {
        "brightness": around_zero(brightness, settings.brightness),
        "contrast": 1.0 + around_zero(contrast, settings.contrast),
        "saturation": 1.0 + around_zero(saturation, settings.saturation),
    }


def apply(image: tf.Tensor, view: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Brightness, then contrast around the mean luma, then saturation: float32 in 0..255."""
    brightness, contrast, saturation = (view[name] for name in PLAIN)
    # Every fourth pixel each way is enough for a mean, and a quarter of a millisecond cheaper.
    # Whole numbers: their sum does not depend on how threads share the work.
    some = tf.cast(tf.round(image[::4, ::4]), tf.int32)
    pixels = tf.cast(tf.shape(some)[0] * tf.shape(some)[1], tf.float32)
    totals = tf.cast(tf.reduce_sum(some, [0, 1]), tf.float32)
    mean = tf.reduce_sum(totals * _LUMA) / pixels
    luma = _LUMA[0] * image[..., 0] + _LUMA[1] * image[..., 1] + _LUMA[2] * image[..., 2]
    grey = luma * (contrast * (1.0 - saturation)) + (mean + brightness * 255.0 - mean * contrast)
    return tf.clip_by_value(image * (contrast * saturation) + grey[..., tf.newaxis], 0.0, 255.0)
