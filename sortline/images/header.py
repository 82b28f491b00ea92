"""What a file says about itself, read from its bytes without decoding a pixel. Pure Python.

JPEG, PNG and WebP are told apart by their first bytes, never by the name. All work is bounded by
the length of the file, so that it is safe on anything that a stranger sends. Whether the pixels can
be had is for `decode.py` to say.
"""

import hashlib
import struct
from dataclasses import dataclass
from typing import Literal, NoReturn

from sortline.core.errors import ImageError

Format = Literal["jpeg", "png", "webp"]
Reason = Literal[
    "empty",
    "not an image",
    "unsupported format",
    "animated",
    "too many pixels",
    "too many bytes",
    "truncated",
    "undecodable",
    "unreadable",
]

# A Huffman-coded JPEG spends at least one bit on each block of 64 pixels. A file that claims more
# pixels than its bytes can hold has lost them, however willingly a decoder fills in grey.
JPEG_PIXELS_PER_BYTE = 8 * 64
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

_OTHER_FORMATS = {
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"8BPS": "Photoshop",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\0\0\1\0": "ICO",
    b"%PDF": "PDF",
    b"<svg": "SVG",
}
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC"}
_STAND_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG markers without a length.
_SOF_DECODED = frozenset({0xC0, 0xC1, 0xC2})  # Baseline, extended, progressive; all Huffman-coded.
_SOF_OTHER = frozenset(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PNG_MODES = {  # Colour type and bit depth to the mode's name in Pillow; 16 bits are told apart.
    **{(0, depth): mode for depth, mode in {1: "1", 2: "L", 4: "L", 8: "L", 16: "I;16"}.items()},
    **{(3, depth): "P" for depth in (1, 2, 4, 8)},
    **{(2, 8): "RGB", (2, 16): "RGB;16", (4, 8): "LA", (4, 16): "LA;16"},
    **{(6, 8): "RGBA", (6, 16): "RGBA;16"},
}
_VP8X_ANIMATION, _VP8X_EXIF, _VP8X_ALPHA = 0x02, 0x08, 0x10


@dataclass(frozen=True)
class Header:
    """Facts of one image as stored: before its EXIF orientation is applied.

    Attributes:
        width: pixels.
        height: pixels.
        mode: as Pillow names it, plus "YCCK" and the 16-bit "LA;16", "RGB;16", "RGBA;16".
        orientation: EXIF orientation, 1 (upright) to 8; 1 when the file has none.
        animated: always False in what `read_header` returns.
    """

    format: Format
    width: int
    height: int
    mode: str
    orientation: int
    animated: bool


class _RefusedError(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason, self.detail = reason, detail


def _refuse(reason: Reason, detail: str) -> NoReturn:
    raise _RefusedError(reason, detail)


def detect_format(data: bytes) -> Format | None:
    """The format that the first bytes announce, None for any other than the three we accept."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(PNG_MAGIC):
        return "png"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def read_header(data: bytes, *, max_pixels: int, path: str = "") -> Header:
    """Read format, size, mode and orientation from the bytes of a whole file.

    Raises:
        ImageError: it is not an image that we accept; `reason` is one of `Reason`.
    """
    try:
        header = _parse(data)
        _check_size(header, max_pixels)
    except _RefusedError as refusal:
        digest = hashlib.sha256(data).hexdigest()
        raise ImageError(path, digest, refusal.reason, refusal.detail) from None
    except (struct.error, IndexError):
        digest = hashlib.sha256(data).hexdigest()
        detail = f"{len(data)} bytes end inside the header"
        raise ImageError(path, digest, "truncated", detail) from None
    return header


def is_cut_off(data: bytes) -> bool:
    """Whether the end of an image that does not decode is missing (else its inside is damaged)."""
    match detect_format(data):
        case "jpeg":
            return b"\xff\xd9" not in data[data.rfind(b"\xff\xda") :]
        case "png":
            return b"IEND" not in data[-64:]
        case "webp":
            return len(data) < 12 or _riff_end(data) > len(data)
    return False


def _parse(data: bytes) -> Header:
    match detect_format(data):
        case "jpeg":
            return _read_jpeg(data)
        case "png":
            return _read_png(data)
        case "webp":
            return _read_webp(data)
    if not data:
        _refuse("empty", "zero bytes")
    if name := _name_of(data):
        _refuse("unsupported format", f"{name}; convert it to JPEG, PNG or WebP")
    _refuse("not an image", f"begins with {data[:8]!r}; wanted JPEG, PNG or WebP")


def _name_of(data: bytes) -> str | None:
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "HEIC or a video")
    return next((name for magic, name in _OTHER_FORMATS.items() if data.startswith(magic)), None)


def _check_size(header: Header, max_pixels: int) -> None:
    size = f"{header.width} x {header.height}"
    if not (header.width and header.height):
        _refuse("undecodable", f"the header says {size} pixels")
    if header.width * header.height > max_pixels:
        _refuse("too many pixels", f"{size}; images.max_pixels is {max_pixels}")


def _read_jpeg(data: bytes) -> Header:
    position, orientation, adobe = 2, 1, 0
    while True:
        # Stray bytes between segments are skipped, as libjpeg does.
        position = data.find(b"\xff", position)
        if position < 0:
            _refuse("truncated", "no frame before the end of the file")
        marker = data[position + 1]
        if marker in (0x00, 0xFF) or marker in _STAND_ALONE:
            position += 1 if marker == 0xFF else 2
            continue
        if marker in (0xD9, 0xDA):
            _refuse("undecodable", "no frame before the first scan")
        (length,) = struct.unpack_from(">H", data, position + 2)
        body = data[position + 4 : position + 2 + length]
        if marker in _SOF_DECODED:
            return _jpeg_frame(body, len(data), orientation, adobe)
        if marker in _SOF_OTHER:
            _refuse("undecodable", f"a frame of kind 0xff{marker:02x} is not supported")
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = _exif_orientation(body[6:])
        if marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
        position += 2 + max(length, 2)


def _jpeg_frame(body: bytes, file_bytes: int, orientation: int, adobe: int) -> Header:
    depth, height, width, components = struct.unpack_from(">BHHB", body)
    modes = {1: "L", 3: "RGB", 4: "YCCK" if adobe == 2 else "CMYK"}
    if depth != 8 or components not in modes:
        _refuse("undecodable", f"{components} components of {depth} bits; wanted 1, 3 or 4 of 8")
    if width * height > JPEG_PIXELS_PER_BYTE * file_bytes:
        _refuse("truncated", f"{file_bytes} bytes cannot hold {width} x {height} pixels")
    return Header("jpeg", width, height, modes[components], orientation, animated=False)


def _read_png(data: bytes) -> Header:
    length, kind, width, height, depth, colour = struct.unpack_from(">I4sIIBB", data, 8)
    if (length, kind) != (13, b"IHDR") or (colour, depth) not in _PNG_MODES:
        _refuse("undecodable", f"colour type {colour} with {depth} bits is not a PNG's")
    pixels_at = data.find(b"IDAT")
    if pixels_at < 0:
        _refuse("truncated", "no pixels before the end of the file")
    # The animation chunk has to come before the pixels; decode.py asks the same question.
    if data.find(b"acTL", 0, pixels_at) >= 0:
        _refuse("animated", "animated PNG; keep one frame of it")
    mode = _PNG_MODES[colour, depth]
    return Header("png", width, height, mode, _png_orientation(data, pixels_at), animated=False)


def _png_orientation(data: bytes, pixels_at: int) -> int:
    at = data.find(b"eXIf", 0, pixels_at)
    return _exif_orientation(data[at + 4 : pixels_at]) if at >= 0 else 1


def _riff_end(data: bytes) -> int:
    return int(struct.unpack_from("<I", data, 4)[0]) + 8


def _read_webp(data: bytes) -> Header:
    if _riff_end(data) > len(data):
        _refuse("truncated", f"{len(data)} bytes of {_riff_end(data)}")
    kind = data[12:16]
    if kind == b"VP8 ":
        return _webp_lossy(data)
    if kind == b"VP8L":
        return _webp_lossless(data)
    if kind == b"VP8X":
        return _webp_extended(data)
    _refuse("undecodable", f"first chunk is {kind!r}; wanted VP8, VP8L or VP8X")


def _webp_lossy(data: bytes) -> Header:
    start_code, width, height = struct.unpack_from("<3sHH", data, 23)
    if start_code != b"\x9d\x01\x2a":
        _refuse("undecodable", "the VP8 frame has no start code")
    return Header("webp", width & 0x3FFF, height & 0x3FFF, "RGB", 1, animated=False)


def _webp_lossless(data: bytes) -> Header:
    signature, bits = struct.unpack_from("<BI", data, 20)
    if signature != 0x2F:
        _refuse("undecodable", "the VP8L frame has no signature")
    width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return Header("webp", width, height, "RGBA" if bits >> 28 & 1 else "RGB", 1, animated=False)


def _webp_extended(data: bytes) -> Header:
    flags, width, height = struct.unpack_from("<B3x3s3s", data, 20)
    if flags & _VP8X_ANIMATION:
        _refuse("animated", "animated WebP; keep one frame of it")
    mode = "RGBA" if flags & _VP8X_ALPHA else "RGB"
    orientation = _webp_orientation(data) if flags & _VP8X_EXIF else 1
    sides = int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1
    return Header("webp", *sides, mode, orientation, animated=False)


def _webp_orientation(data: bytes) -> int:
    position = 12
    while position + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, position)
        if kind == b"EXIF":
            body = data[position + 8 : position + 8 + size]
            return _exif_orientation(body.removeprefix(b"Exif\0\0"))
        position += 8 + size + size % 2
    return 1


def _exif_orientation(tiff: bytes) -> int:
    """Orientation in a TIFF block's first directory; 1 when it is missing or makes no sense."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, start)
        for index in range(entries):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, start + 2 + 12 * index)
            if (tag, kind) == (0x0112, 3):
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1
