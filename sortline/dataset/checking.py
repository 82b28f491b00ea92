"""The check of one file at the door: is it an image, which way is up, what does it look like?

Uses the decoder used everywhere else. An image whose EXIF orientation says that it lies on its side
is the only one that is encoded again, upright and without the tag; every other keeps its bytes.
"""

import hashlib
import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sortline.core.errors import ImageError
from sortline.dataset.duplicates import perceptual_hash
from sortline.images.decode import decode_bytes, read_image_file
from sortline.images.header import Format, read_header

_QUALITY = 95
_BYTES_PER_PIXEL = 8  # Four channels of 16 bits, not compressed: no honest file is larger.
_EXTRA_BYTES = 1 << 20  # For metadata.


@dataclass(frozen=True)
class Checked:
    """An accepted image.

    Attributes:
        local: where its bytes are, as they are to be kept.
        sha256: of those bytes.
        perceptual_hash: of its pixels, upright.
        format: what it really is, whatever its name says.
        turned: it was encoded again to stand upright.
    """

    local: Path
    sha256: str
    perceptual_hash: str
    format: Format
    turned: bool


def upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo an EXIF orientation (1 to 8) of uint8 [H, W, 3]."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def encode(pixels: NDArray[np.uint8], image_format: Format) -> bytes:
    """Encode uint8 [H, W, 3], with full colour resolution and no metadata."""
    buffer = BytesIO()
    options = {"subsampling": "4:4:4"} if image_format == "jpeg" else {}
    Image.fromarray(pixels).save(buffer, image_format.upper(), quality=_QUALITY, **options)
    return buffer.getvalue()


def _read(path: Path, max_pixels: int) -> bytes:
    most = max_pixels * _BYTES_PER_PIXEL + _EXTRA_BYTES
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ImageError(str(path), "", "unreadable", error.strerror or str(error)) from error
    if size > most:
        raise ImageError(str(path), "", "too many bytes", f"{size:,}, at most {most:,}")
    return read_image_file(path)


def check_image(path: Path, *, max_pixels: int, staging: Path | None) -> Checked:
    """Decode a file and hash it; one that lies on its side is written anew into `staging`.

    Args:
        path: the file.
        max_pixels: that are accepted.
        staging: for files that are turned; None: take the file as it is.

    Raises:
        ImageError: it cannot be read, or is not an image that we accept.
    """
    data = _read(path, max_pixels)
    pixels = decode_bytes(data, max_pixels=max_pixels, path=str(path))
    header = read_header(data, max_pixels=max_pixels, path=str(path))
    turned = staging is not None and header.orientation != 1
    if staging is not None and turned:
        pixels = upright(pixels, header.orientation)
        data = encode(pixels, header.format)
        # Named by its old path: the same picture may be in the source twice, in two threads.
        path = staging / f"upright-{hashlib.sha256(os.fsencode(path)).hexdigest()}"
        path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return Checked(path, digest, perceptual_hash(pixels), header.format, turned)
