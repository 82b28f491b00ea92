"""The one decoder: bytes to RGB pixels by TensorFlow's operations, in Python and in every graph.

What is special about it:

- The three formats are told apart by their first bytes; TensorFlow's decoders would otherwise take
  whatever else they know (GIF, BMP, JPEG XL) under any of their names.
- JPEGs that lack their end are refused (`try_recover_truncated` stays False).
- An alpha channel is dropped, as TensorFlow does: transparent pixels show the colour stored under
  them. CMYK is converted, palettes are looked up, of 16 bits the upper 8 are kept.
- EXIF orientation is ignored: `sortline ingest` applies it to the file.
- Animated WebP never reaches the decoder: with `channels=0` the operation writes four channels a
  pixel into memory for three (TensorFlow 2.21), which ends the process or worse.

DecodeWebP is an operation of TensorFlow 2.20 and later: a server that is older (TF Serving before
2.20) does not load a graph that holds this decoder.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from sortline.core.errors import ImageError
from sortline.images.header import (
    JPEG_PIXELS_PER_BYTE,
    PNG_MAGIC,
    Format,
    is_cut_off,
    read_header,
)

_HEAD_BYTES = 32  # Enough for the sizes of PNG and WebP, and for WebP's animation flag.
_PARALLEL = 4


def decode_image(data: tf.Tensor) -> tf.Tensor:
    """Decode one file (string scalar) to uint8 [H, W, 3].

    Raises:
        tf.errors.InvalidArgumentError: when run, on anything but a still JPEG, PNG or WebP.
    """
    is_png = tf.strings.substr(data, 0, len(PNG_MAGIC)) == PNG_MAGIC
    image = tf.cond(
        is_png,
        lambda: _png(data),
        lambda: tf.cond(
            _is_webp(data),
            lambda: _webp(_only_if(~_is_animated_webp(data), data)),
            lambda: _jpeg(_only_if(_is_jpeg(data), data)),
        ),
    )
    return tf.ensure_shape(image, [None, None, 3])


def resize(image: tf.Tensor, size_px: int) -> tf.Tensor:
    """Stretch uint8 [H, W, 3] to float32 [size_px, size_px, 3], 0 to 255, bilinearly."""
    return tf.image.resize(image, [size_px, size_px])


def decode_and_resize(data: tf.Tensor, size_px: int) -> tf.Tensor:
    """Decode one file (string scalar) to float32 [size_px, size_px, 3], 0 to 255."""
    return resize(decode_image(data), size_px)


def decode_bytes(data: bytes, *, max_pixels: int, path: str = "") -> NDArray[np.uint8]:
    """Decode the bytes of a file to uint8 [H, W, 3]; the header is judged first.

    Raises:
        ImageError: it is not an image that we accept.
    """
    header = read_header(data, max_pixels=max_pixels, path=path)
    try:
        # The header has told the format: its operation alone costs half of `decode_image`.
        pixels: NDArray[np.uint8] = _OPERATIONS[header.format](data).numpy()
    except tf.errors.InvalidArgumentError as error:
        digest = hashlib.sha256(data).hexdigest()
        reason = "truncated" if is_cut_off(data) else "undecodable"
        raise ImageError(path, digest, reason, _first_words(error)) from None
    return pixels


def decode_file(path: Path, *, max_pixels: int) -> NDArray[np.uint8]:
    """Decode a file to uint8 [H, W, 3].

    Raises:
        ImageError: it cannot be read, or is not an image that we accept.
    """
    return decode_bytes(read_image_file(path), max_pixels=max_pixels, path=str(path))


def read_image_file(path: Path) -> bytes:
    """Read a file's bytes.

    Raises:
        ImageError: the system does not let us (reason "unreadable").
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(str(path), "", "unreadable", error.strerror or str(error)) from error


def guarded_decode(data: tf.Tensor, size_px: int, max_pixels: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode a batch in which anything may be: for the exported graph.

    Args:
        data: string [N], the bytes of N files.
        size_px: side of the result.
        max_pixels: larger images are refused from their headers, before anything is decoded.

    Returns:
        float32 [N, size_px, size_px, 3], 0 to 255, and bool [N]. What cannot be decoded is zeros
        and False, and its neighbours are what they would be alone.
    """
    count = tf.size(data)

    def decode_one(index: tf.Tensor, item: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return index, decode_and_resize(_within_cap(item, max_pixels), size_px)

    # `ignore_errors` is the only operation that survives a failing decoder inside a graph. The
    # sentinel at the end keeps the batch from being empty when no item is left.
    items = tf.data.Dataset.from_tensor_slices((tf.range(count), data))
    decoded = items.map(decode_one, num_parallel_calls=_PARALLEL).ignore_errors()
    sentinel = tf.data.Dataset.from_tensors((count, tf.zeros([size_px, size_px, 3])))
    batches = decoded.concatenate(sentinel).batch(tf.cast(count, tf.int64) + 1)
    indices, images = batches.get_single_element()

    shape = tf.stack([count + 1, size_px, size_px, 3])
    images = tf.scatter_nd(indices[:, tf.newaxis], images, shape)[:count]
    hits = tf.scatter_nd(indices[:, tf.newaxis], tf.ones_like(indices), [count + 1])[:count]
    return tf.ensure_shape(images, [None, size_px, size_px, 3]), hits > 0


def _jpeg(data: tf.Tensor) -> tf.Tensor:
    # The accurate transform is what other decoders use by default; it costs next to nothing.
    return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")


def _png(data: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_png(data, channels=3)


def _webp(data: tf.Tensor) -> tf.Tensor:
    # The operation refuses to drop or add alpha, so that the channels must be of its choosing.
    return tf.io.decode_webp(data, channels=0)[0, :, :, :3]


_OPERATIONS: Mapping[Format, Callable[[Any], tf.Tensor]] = {
    "jpeg": _jpeg,
    "png": _png,
    "webp": _webp,
}


def _first_words(error: Any) -> str:
    text = str(error.message).split("}} ")[-1].splitlines()
    return text[0][:120] if text else "the decoder refuses it"


def _only_if(condition: tf.Tensor, data: tf.Tensor) -> tf.Tensor:
    # The decoder refuses empty input. Choosing its input, not its output, keeps it from running.
    return tf.where(condition, data, b"")


def _is_webp(data: tf.Tensor) -> tf.Tensor:
    head = _head(data)
    return _text_at(head, 0, b"RIFF") & _text_at(head, 8, b"WEBP")


def _is_animated_webp(data: tf.Tensor) -> tf.Tensor:
    head = _head(data)
    return _text_at(head, 12, b"VP8X") & (tf.bitwise.bitwise_and(head[20], 2) > 0)


def _is_jpeg(data: tf.Tensor) -> tf.Tensor:
    return tf.strings.substr(data, 0, 3) == b"\xff\xd8\xff"


def _head(data: tf.Tensor) -> tf.Tensor:
    padded = tf.strings.join([tf.strings.substr(data, 0, _HEAD_BYTES), b"\0" * _HEAD_BYTES])
    head = tf.io.decode_raw(tf.strings.substr(padded, 0, _HEAD_BYTES), tf.uint8)
    return tf.cast(tf.ensure_shape(head, [_HEAD_BYTES]), tf.int32)


def _text_at(head: tf.Tensor, position: int, text: bytes) -> tf.Tensor:
    return tf.reduce_all(head[position : position + len(text)] == list(text))


def _number(head: tf.Tensor, *positions: int) -> tf.Tensor:
    """The unsigned number whose bytes, least significant first, are at `positions`."""
    values = [tf.cast(head[at], tf.int64) * 256**place for place, at in enumerate(positions)]
    return tf.add_n(values)


def _within_cap(data: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """The data if its header claims at most `max_pixels`, else what no decoder accepts."""
    is_png = tf.strings.substr(data, 0, len(PNG_MAGIC)) == PNG_MAGIC
    height, width = tf.cond(
        is_png,
        lambda: _png_size(data),
        lambda: tf.cond(_is_webp(data), lambda: _webp_size(_head(data)), lambda: _jpeg_size(data)),
    )
    # Sides are compared first: two of 32 bits could overflow the product.
    fits = (height <= max_pixels) & (width <= max_pixels) & (height * width <= max_pixels)
    return _only_if(fits, data)


_SIDES_14_BITS = 1 << 14  # WebP keeps a side in 14 bits.
_TOO_LARGE = 1 << 40  # A side that no cap admits: how the size functions say "refuse this".


def _jpeg_size(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    shape = tf.image.extract_jpeg_shape(_only_if(_is_jpeg(data), data), output_type=tf.int64)
    capacity = JPEG_PIXELS_PER_BYTE * tf.cast(tf.strings.length(data), tf.int64)
    complete = shape[0] * shape[1] <= capacity
    return tf.where(complete, shape[0], _TOO_LARGE), tf.where(complete, shape[1], _TOO_LARGE)


def _png_size(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    head, still = _head(data), _is_still_png(data)
    width, height = _number(head, 19, 18, 17, 16), _number(head, 23, 22, 21, 20)
    return tf.where(still, height, _TOO_LARGE), tf.where(still, width, _TOO_LARGE)


def _is_still_png(data: tf.Tensor) -> tf.Tensor:
    # The animation chunk has to come before the pixels; header.py asks the same question.
    raw = tf.io.decode_raw(data, tf.uint8)
    pixels_at, animation_at = _find(raw, b"IDAT"), _find(raw, b"acTL")
    return animation_at >= pixels_at


def _find(raw: tf.Tensor, text: bytes) -> tf.Tensor:
    """Where `text` first occurs in the bytes; their number when it does not."""
    last = tf.maximum(tf.size(raw) - len(text) + 1, 0)
    hits = [raw[place : last + place] == byte for place, byte in enumerate(text)]
    matches = tf.reduce_all(tf.stack(hits), axis=0)
    return tf.argmax(tf.concat([matches, [True]], axis=0), output_type=tf.int32)


def _webp_size(head: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    packed = _number(head, 21, 22, 23, 24)
    sizes = {
        b"VP8 ": (_number(head, 28, 29) % _SIDES_14_BITS, _number(head, 26, 27) % _SIDES_14_BITS),
        b"VP8L": (packed // _SIDES_14_BITS % _SIDES_14_BITS + 1, packed % _SIDES_14_BITS + 1),
        b"VP8X": (_number(head, 27, 28, 29) + 1, _number(head, 24, 25, 26) + 1),
    }
    height = width = tf.constant(_TOO_LARGE, tf.int64)
    for kind, (its_height, its_width) in sizes.items():
        is_kind = _text_at(head, 12, kind)
        height = tf.where(is_kind, its_height, height)
        width = tf.where(is_kind, its_width, width)
    return height, width
