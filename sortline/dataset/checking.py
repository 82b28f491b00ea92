"""The check of one file at the door: is it an image, which way is up, what does it look like?

Uses the decoder used everywhere else. An image whose EXIF orientation says that it lies on its side
is the only one that is encoded again, upright and without the tag; every other keeps its bytes.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from sortline.core.errors import ImageError
from sortline.dataset.duplicates import perceptual_hash
from sortline.images.decode import decode_bytes, read_image_file
from sortline.images.header import Format, read_header
from sortline.images.orientation import turned_upright

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
        data = turned_upright(data, header)
        pixels = decode_bytes(data, max_pixels=max_pixels, path=str(path))
        # Named by its old path: the same picture may be in the source twice, in two threads.
        path = staging / f"upright-{hashlib.sha256(os.fsencode(path)).hexdigest()}"
        path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return Checked(path, digest, perceptual_hash(pixels), header.format, turned)
