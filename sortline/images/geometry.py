"""Where a view's pixels come from: flip, crop, rotation and shift, in one reading of the image."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import tensorflow as tf

from sortline.images.decode import resize
from sortline.images.draws import around_zero, uniforms
from sortline.images.view_settings import Augment

# Fields of a view, and their values where nothing is changed.
PLAIN: Final = {
    "flip": 0.0,  # 0 or 1: left and right are swapped
    "crop_y": 0.0,  # top of the crop, of the image's height
    "crop_x": 0.0,  # left of the crop, of its width
    "crop_h": 1.0,  # height of the crop, of the image's height
    "crop_w": 1.0,  # width of the crop, of its width
    "rotation_deg": 0.0,  # clockwise, about the centre of the crop
    "shift_y": 0.0,  # downwards, of the view's side
    "shift_x": 0.0,  # to the right, of the view's side
}
DRAWS: Final = 8  # Numbers of a seed's sequence that `draw` takes.
_ASPECT_JITTER: Final = 1 / 7  # (1 + 1/7) / (1 - 1/7) = 4/3: crops are up to a third wider, taller.
View = Mapping[str, tf.Tensor]


def draw(seeds: np.ndarray, settings: Augment) -> dict[str, np.ndarray]:
    """The fields of `PLAIN` for every seed, float64 [N] each."""
    flip, size, aspect, top, left, rotation, down, right = uniforms(seeds, DRAWS)
    area = settings.crop_min_area + size * (1.0 - settings.crop_min_area)
    jitter = around_zero(aspect, _ASPECT_JITTER)
    # Width over height, of the image's own; within what leaves a crop of this area inside it.
    ratio = np.clip((1.0 + jitter) / (1.0 - jitter), area, 1.0 / area)
    crop_h = np.minimum(np.sqrt(area / ratio), 1.0)
    crop_w = np.minimum(np.sqrt(area * ratio), 1.0)
    return {
        "flip": (flip < 0.5) * float(settings.flip_horizontal),
        "crop_y": top * (1.0 - crop_h),
        "crop_x": left * (1.0 - crop_w),
        "crop_h": crop_h,
        "crop_w": crop_w,
        "rotation_deg": around_zero(rotation, settings.rotation_deg),
        "shift_y": around_zero(down, settings.translation),
        "shift_x": around_zero(right, settings.translation),
    }


def apply(image: tf.Tensor, view: View, size_px: int) -> tf.Tensor:
    """The pixels that a view shows: uint8 [H, W, 3] to float32 [S, S, 3] in 0..255."""
    moved = [view["rotation_deg"], view["shift_y"], view["shift_x"]]
    return tf.cond(
        tf.reduce_all(tf.stack(moved) == 0.0),
        lambda: _cropped(image, view, size_px),
        lambda: _sampled(image, view, size_px),
    )


def _crop_box(image: tf.Tensor, view: View) -> tf.Tensor:
    """Whole pixels inside the image: int32 [4], top, left, height, width."""
    sides = tf.shape(image)[:2]
    extent = tf.cast(tf.concat([sides, sides], 0), tf.float32)
    crop = tf.stack([view[name] for name in ("crop_y", "crop_x", "crop_h", "crop_w")])
    box = tf.cast(tf.round(crop * extent), tf.int32)
    size = tf.clip_by_value(box[2:], 1, sides)
    return tf.concat([tf.clip_by_value(box[:2], 0, sides - size), size], 0)


def _cropped(image: tf.Tensor, view: View, size_px: int) -> tf.Tensor:
    top, left, height, width = tf.unstack(_crop_box(image, view))
    resized = resize(image[top : top + height, left : left + width], size_px)
    return tf.cond(view["flip"] > 0.5, lambda: tf.reverse(resized, [1]), lambda: resized)


def _source_grid(
    image: tf.Tensor, view: View, size_px: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Where each pixel of a turned view lies in the image: y and x [S, S], and the image's sides.

    Half-pixel centres, as `tf.image.resize` has them; what lies outside the image is mirrored.
    """
    top, left, crop_h, crop_w = tf.unstack(tf.cast(_crop_box(image, view), tf.float32))
    height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))
    angle = view["rotation_deg"] * (np.pi / 180.0)
    cos, sin = tf.cos(angle), tf.sin(angle)
    from_centre = (tf.range(size_px, dtype=tf.float32) + 0.5) / size_px - 0.5
    y, x = from_centre[:, tf.newaxis] - view["shift_y"], from_centre[tf.newaxis] - view["shift_x"]
    turned_x, turned_y = x * cos + y * sin, y * cos - x * sin
    turned_x = tf.where(view["flip"] > 0.5, -turned_x, turned_x)
    source_y = top + (turned_y + 0.5) * crop_h - 0.5
    source_x = left + (turned_x + 0.5) * crop_w - 0.5
    return _mirrored(source_y, height), _mirrored(source_x, width), height, width


def _mirrored(place: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
    """Fold coordinates back into 0..side-1 at the edges' pixel centres."""
    last = side - 1.0
    folded = last - tf.abs(last - tf.abs(place))
    return tf.clip_by_value(folded, 0.0, last)


def _sampled(image: tf.Tensor, view: View, size_px: int) -> tf.Tensor:
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
