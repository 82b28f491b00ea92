"""Pictures as files of every kind that a user may have, and files that only look like pictures."""

import struct
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 60, 40


def picture(number: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """Coarse noise; each number another one."""
    coarse = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The file's bytes."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def with_alpha(alpha: int = 100) -> Image.Image:
    image = picture()
    image.putalpha(alpha)
    return image


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def ycck_jpeg() -> bytes:
    """A CMYK JPEG whose Adobe marker says that it is YCCK, as Photoshop writes them."""
    data = encode(picture().convert("CMYK"), "JPEG")
    at = data.index(b"Adobe") + 11
    return data[:at] + b"\2" + data[at + 1 :]


def claiming_jpeg(width: int, height: int) -> bytes:
    """A JPEG of 16 x 16 pixels whose header claims others."""
    data = encode(picture(size=(16, 16)), "JPEG", quality=30)
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def grey_16_bits() -> Image.Image:
    return Image.fromarray(np.asarray(picture().convert("L")).astype(np.uint16) * 257)


def accepted() -> dict[str, tuple[str, bytes]]:
    """By name: the mode that the header should tell, and a file."""
    image = picture()
    turned = {"exif": exif(6)}
    return {
        "jpeg": ("RGB", encode(image, "JPEG")),
        "progressive jpeg": ("RGB", encode(image, "JPEG", progressive=True)),
        "grey jpeg": ("L", encode(image.convert("L"), "JPEG")),
        "cmyk jpeg": ("CMYK", encode(image.convert("CMYK"), "JPEG")),
        "ycck jpeg": ("YCCK", ycck_jpeg()),
        "turned jpeg": ("RGB", encode(image, "JPEG", **turned)),
        "png": ("RGB", encode(image, "PNG")),
        "grey png": ("L", encode(image.convert("L"), "PNG")),
        "black and white png": ("1", encode(image.convert("1"), "PNG")),
        "palette png": ("P", encode(image.quantize(16), "PNG")),
        "palette png, transparent": ("P", encode(image.quantize(16), "PNG", transparency=0)),
        "grey alpha png": ("LA", encode(with_alpha().convert("LA"), "PNG")),
        "alpha png": ("RGBA", encode(with_alpha(), "PNG")),
        "16-bit png": ("I;16", encode(grey_16_bits(), "PNG")),
        "turned png": ("RGB", encode(image, "PNG", **turned)),
        "webp": ("RGB", encode(image, "WEBP")),
        "lossless webp": ("RGB", encode(image, "WEBP", lossless=True)),
        "alpha webp": ("RGBA", encode(with_alpha(), "WEBP")),
        "lossless alpha webp": ("RGBA", encode(with_alpha(), "WEBP", lossless=True)),
        "turned webp": ("RGB", encode(image, "WEBP", **turned)),
    }


def animated(kind: str, **options: Any) -> bytes:
    """Two frames, as GIF, PNG or WEBP."""
    frames = [picture(1).rotate(90)]
    return encode(picture(), kind, save_all=True, append_images=frames, **options)


def refused() -> dict[str, tuple[str, bytes]]:
    """By name: the reason to be given, and a file."""
    image = picture()
    files = {name: data for name, (_, data) in accepted().items()}
    return {
        "nothing": ("empty", b""),
        "text": ("not an image", b"these are not the pixels you are looking for"),
        "gif": ("unsupported format", encode(image, "GIF")),
        "bmp": ("unsupported format", encode(image, "BMP")),
        "tiff": ("unsupported format", encode(image, "TIFF")),
        "heic": ("unsupported format", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        "animated png": ("animated", animated("PNG")),
        "animated webp": ("animated", animated("WEBP")),
        "cut jpeg": ("truncated", files["jpeg"][:-300]),
        "cut png": ("truncated", files["png"][:-300]),
        "cut webp": ("truncated", files["webp"][:-300]),
        "jpeg without its last byte": ("truncated", files["jpeg"][:-1]),
        "first bytes of a jpeg": ("truncated", files["jpeg"][:12]),
        "first bytes of a png": ("truncated", files["png"][:20]),
        "first bytes of a webp": ("truncated", files["webp"][:14]),
        "24 megapixels in a few bytes": ("truncated", claiming_jpeg(6000, 4000)),
        "damaged png": ("undecodable", files["png"].replace(b"IHDR", b"IHDX", 1)),
        "damaged webp": ("undecodable", files["webp"].replace(b"\x9d\x01\x2a", b"\0\0\0", 1)),
        "junk after a jpeg's first bytes": ("truncated", b"\xff\xd8\xffjunk" * 20),
    }
