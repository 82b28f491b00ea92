"""What a client sends of an image, or why it sends nothing: judged by the header alone."""

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sortline.core.errors import ImageError
from sortline.images.header import detect_format, read_header
from sortline.images.orientation import turned_upright

Image = Path | bytes

_MAGIC_BYTES: Final = 64


@dataclass(frozen=True)
class Admitted:
    """An image to be sent: its bytes, and whether they are ours because it had to be turned."""

    data: bytes
    rotated: bool


def admit(image: Image, *, max_pixels: int, max_bytes: int) -> Admitted:
    """Judge an image by its header, and turn it upright when its EXIF orientation asks for it.

    Args:
        image: a file, or the bytes of one.
        max_pixels: width x height that are accepted.
        max_bytes: of what is sent.

    Raises:
        ImageError: it cannot be read, is not an image that we accept, or is too large to be sent.
    """
    data = _read(image, max_pixels, max_bytes) if isinstance(image, Path) else image
    header = read_header(data, max_pixels=max_pixels)
    _check_size(len(data), max_bytes)
    if header.orientation == 1:
        return Admitted(data, rotated=False)
    turned = turned_upright(data, header)
    _check_size(len(turned), max_bytes)
    return Admitted(turned, rotated=True)


def _read(path: Path, max_pixels: int, max_bytes: int) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # Opening a pipe would wait for ever.
            raise ImageError(str(path), "", "unreadable", "it is not a file")
        with path.open("rb") as file:
            start = file.read(_MAGIC_BYTES)
            if detect_format(start) is None:  # A video is refused without being read to its end.
                read_header(start, max_pixels=max_pixels)
            _check_size(status.st_size, max_bytes)
            return start + file.read()
    except OSError as error:
        raise ImageError(str(path), "", "unreadable", error.strerror or str(error)) from error


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        detail = (
            f"{size:,}; {max_bytes:,} fit into a message: make the image smaller, or raise"
            " max_message_bytes here and the limit of the server"
        )
        raise ImageError("", "", "too many bytes", detail)
