"""Every EXIF orientation is undone, in every format, and the tag is gone."""

import io
from typing import get_args

import numpy as np
import pytest
from PIL import Image, ImageOps

from sortline.core.errors import ImageError
from sortline.images.header import Format, read_header
from sortline.images.orientation import turned_upright


def lying(kind: str, orientation: int) -> bytes:
    rng = np.random.default_rng(7)
    coarse = Image.fromarray(rng.integers(0, 255, (4, 6, 3), np.uint8))
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    coarse.resize((48, 32)).save(buffer, kind.upper(), exif=exif, quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", get_args(Format))
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_picture_is_what_its_tag_means(kind: Format, orientation: int) -> None:
    data = lying(kind, orientation)
    turned = turned_upright(data, read_header(data, max_pixels=10_000))
    header = read_header(turned, max_pixels=10_000)
    assert (header.format, header.orientation) == (kind, 1)
    with Image.open(io.BytesIO(data)) as stored, Image.open(io.BytesIO(turned)) as upright:
        right = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"), np.int16)
        apart = np.abs(np.asarray(upright.convert("RGB"), np.int16) - right)
    assert apart.mean() <= (0 if kind == "png" else 3)


def test_what_cannot_be_decoded_is_refused() -> None:
    data = lying("jpeg", 6)
    header = read_header(data, max_pixels=10_000)
    with pytest.raises(ImageError, match="cannot be turned"):
        turned_upright(data[: len(data) // 2], header)
