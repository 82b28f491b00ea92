"""What was measured of an image is kept by its bytes: values of before hold the number it needs."""

from pathlib import Path

import numpy as np
from helpers.reference_values import assert_as_before
from PIL import Image

from sortline.dataset import manifest


def test_an_image_is_measured_as_before(tmp_path: Path) -> None:
    y, x = np.mgrid[0:70, 0:90]
    pictures = {
        "colour": np.stack([y * 3, x * 2, (x * y) % 256], -1).astype(np.uint8),
        "grey": ((x * x + y) % 256).astype(np.uint8),
    }
    folder = tmp_path / "data" / "train" / "glass"
    folder.mkdir(parents=True)
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    paths = [f"data/train/glass/{name}.png" for name in pictures]
    frame = manifest.measure(tmp_path, paths, max_pixels=10_000).frame
    values = {}
    for name, (_, row) in zip(pictures, frame.iterrows(), strict=True):
        bits = [int(digit, 16) for digit in row["perceptual_hash"]]
        values[name] = [row["width"], row["height"], row["brightness"], row["sharpness"], *bits]
    file = Path(__file__).parent / "reference_measures.json"
    assert_as_before(file, manifest._MEASURES, values, rtol=1e-6, atol=0.0)
