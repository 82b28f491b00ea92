"""One augmented view of an image, as TensorFlow graph operations without any random state.

A view is a vector of drawn parameters (`FIELDS`, in this order); the same vector gives the same
pixels eagerly, inside `tf.data` and in parallel. The vectors are drawn by the step `augment`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from sortline.images.decode import resize

FIELDS = (
    "flip",  # 0 or 1: left and right are swapped
    "crop_y",  # top of the crop, of the image's height
    "crop_x",  # left of the crop, of its width
    "crop_h",  # height of the crop, of the image's height
    "crop_w",  # width of the crop, of its width
    "rotation_deg",  # clockwise, about the centre of the crop
    "shift_y",  # downwards, of the view's side
    "shift_x",  # to the right, of the view's side
    "brightness",  # added, of the full range
    "contrast",  # factor around the mean luma
    "saturation",  # factor around each pixel's luma
)
PLAIN = np.array([0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1], dtype=np.float32)
PLAIN.flags.writeable = False

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def view_vector(row: Mapping[str, Any]) -> np.ndarray:
    """The vector, float32 [11], of one row of views.parquet (a mapping or a pandas row)."""
    return np.array([row[field] for field in FIELDS], dtype=np.float32)


def apply_view(image: tf.Tensor, view: tf.Tensor, size_px: int) -> tf.Tensor:
    """Draw one view: uint8 [H, W, 3] and float32 [11] to float32 [S, S, 3] in 0..255.

    `PLAIN` gives exactly the pixels of `decode.resize(image, size_px)`.
    """
    view = tf.ensure_shape(tf.convert_to_tensor(view, tf.float32), [len(FIELDS)])
    return tf.ensure_shape(
        tf.cond(
            tf.reduce_all(view == PLAIN),
            lambda: resize(image, size_px),
            lambda: _recoloured(_moved(image, view, size_px), view),
        ),
        [size_px, size_px, 3],
    )


def _moved(image: tf.Tensor, view: tf.Tensor, size_px: int) -> tf.Tensor:
    upright = tf.reduce_all(view[5:8] == 0.0)
    return tf.cond(
        upright,
        lambda: _cropped(image, view, size_px),
        lambda: _sampled(image, view, size_px),
    )


def _crop_box(image: tf.Tensor, view: tf.Tensor) -> tf.Tensor:
    """Whole pixels inside the image: int32 [4], top, left, height, width."""
    sides = tf.shape(image)[:2]
    extent = tf.cast(tf.concat([sides, sides], 0), tf.float32)
    box = tf.cast(tf.round(view[1:5] * extent), tf.int32)
    size = tf.clip_by_value(box[2:], 1, sides)
    return tf.concat([tf.clip_by_value(box[:2], 0, sides - size), size], 0)


def _cropped(image: tf.Tensor, view: tf.Tensor, size_px: int) -> tf.Tensor:
    top, left, height, width = tf.unstack(_crop_box(image, view))
    resized = resize(image[top : top + height, left : left + width], size_px)
    return tf.cond(view[0] > 0.5, lambda: tf.reverse(resized, [1]), lambda: resized)


def _source_grid(
    image: tf.Tensor, view: tf.Tensor, size_px: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Where each pixel of a turned view lies in the image: y and x [S, S], and the image's sides.

    Half-pixel centres, as `tf.image.resize` has them; what lies outside the image is mirrored.
    """
    box = tf.cast(_crop_box(image, view), tf.float32)
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    angle = view[5] * (np.pi / 180.0)
    cos, sin = tf.cos(angle), tf.sin(angle)
    from_centre = (tf.range(size_px, dtype=tf.float32) + 0.5) / size_px - 0.5
    y, x = from_centre[:, tf.newaxis] - view[6], from_centre[tf.newaxis] - view[7]
    turned_x, turned_y = x * cos + y * sin, y * cos - x * sin
    turned_x = tf.where(view[0] > 0.5, -turned_x, turned_x)
    source_y = box[0] + (turned_y + 0.5) * box[2] - 0.5
    source_x = box[1] + (turned_x + 0.5) * box[3] - 0.5
    return _mirrored(source_y, sides[0]), _mirrored(source_x, sides[1]), sides[0], sides[1]


def _mirrored(place: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
    """Fold coordinates back into 0..side-1 at the edges' pixel centres."""
    last = side - 1.0
    folded = last - tf.abs(last - tf.abs(place))
    return tf.clip_by_value(folded, 0.0, last)


def _sampled(image: tf.Tensor, view: tf.Tensor, size_px: int) -> tf.Tensor:
    """Crop, resize, flip, turn and shift in one bilinear reading of the original pixels.

    ImageProjectiveTransformV3 on the resized crop takes 3 ms a view instead of 2, blurs a second
    time and mirrors at the crop's edge, where the photograph goes on.
    """
    y, x, height, width = _source_grid(image, view, size_px)
    y0, x0 = tf.floor(y), tf.floor(x)
    down, right = (y - y0)[..., tf.newaxis], (x - x0)[..., tf.newaxis]
    columns = tf.cast(width, tf.int32)
    here = tf.cast(y0, tf.int32) * columns + tf.cast(x0, tf.int32)
    # At the last row or column the second sample has weight 0: any pixel inside will do.
    to_right = tf.cast(x0 < width - 1.0, tf.int32)
    below = tf.cast(y0 < height - 1.0, tf.int32) * columns
    pixels = tf.reshape(image, [-1, 3])

    def at(place: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.gather(pixels, place), tf.float32)

    top, bottom = at(here), at(here + below)
    top += (at(here + to_right) - top) * right
    bottom += (at(here + below + to_right) - bottom) * right
    return top + (bottom - top) * down


def _recoloured(image: tf.Tensor, view: tf.Tensor) -> tf.Tensor:
    """Brightness, then contrast around the mean luma, then saturation, as one affine map."""
    brightness, contrast, saturation = view[8] * 255.0, view[9], view[10]
    # Every fourth pixel each way is enough for a mean, and a quarter of a millisecond cheaper.
    # Whole numbers: their sum does not depend on how threads share the work.
    some = tf.cast(tf.round(image[::4, ::4]), tf.int32)
    pixels = tf.cast(tf.shape(some)[0] * tf.shape(some)[1], tf.float32)
    totals = tf.cast(tf.reduce_sum(some, [0, 1]), tf.float32)
    mean = tf.reduce_sum(totals * _LUMA) / pixels
    luma = _LUMA[0] * image[..., 0] + _LUMA[1] * image[..., 1] + _LUMA[2] * image[..., 2]
    grey = luma * (contrast * (1.0 - saturation)) + (mean + brightness - mean * contrast)
    return tf.clip_by_value(image * (contrast * saturation) + grey[..., tf.newaxis], 0.0, 255.0)
