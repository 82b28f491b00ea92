"""Cached features are found by an image and its view: other pixels under that key are stale."""

import base64
from pathlib import Path

import numpy as np
from helpers.reference_values import assert_as_before
from PIL import Image

from sortline.images.pixels import fingerprint, pixel_batches
from sortline.images.views import FIELDS, PLAIN

_CHANGES: dict[str, dict[str, float]] = {
    "plain": {},
    "flip": {"flip": 1},
    "crop": {"crop_y": 0.2, "crop_x": 0.1, "crop_h": 0.6, "crop_w": 0.7},
    "turned": {"rotation_deg": 25, "shift_y": 0.1, "shift_x": -0.2, "flip": 1, "crop_h": 0.9},
    "colours": {"brightness": 0.1, "contrast": 0.8, "saturation": 1.3},
    "all": {"rotation_deg": -8, "crop_w": 0.5, "contrast": 1.2, "saturation": 0.5},
}
# A JPEG of 16 by 12 with half the colours, as an encoder of today would not write it again.
_JPEG = (Path(__file__).parent / "reference.jpg.txt").read_text()


def test_a_file_and_a_view_give_the_pixels_of_before(tmp_path: Path) -> None:
    png, jpeg = tmp_path / "a.png", tmp_path / "b.jpg"
    y, x = np.mgrid[0:11, 0:17]
    picture = np.stack([y * 23, x * 14, (x * y * 7) % 256], -1).astype(np.uint8)
    Image.fromarray(picture).save(png)
    jpeg.write_bytes(base64.b64decode(_JPEG))
    vectors = np.tile(PLAIN, (len(_CHANGES), 1))
    for vector, changes in zip(vectors, _CHANGES.values(), strict=True):
        for field, value in changes.items():
            vector[FIELDS.index(field)] = value
    values: dict[str, np.ndarray] = {}
    for name, file in {"png": png, "jpeg": jpeg}.items():
        (batch,) = pixel_batches([file] * len(vectors), vectors, 6, len(vectors))
        values |= {f"{name} {view}": each for view, each in zip(_CHANGES, batch, strict=True)}
    number = fingerprint()["arithmetic"]
    assert isinstance(number, int)
    file = Path(__file__).parent / "reference_pixels.json"
    assert_as_before(file, number, values, rtol=0.0, atol=0.01)
