"""Small pictures for the tests of ingest: each number another one, and variants that look alike."""

from pathlib import Path

import numpy as np
from PIL import Image

from sortline.dataset.ingest import Settings

# Of these pictures, copies of another quality differ in up to 16 bits, others in 92 or more.
SETTINGS = Settings(seed=0, max_pixels=100_000, near_duplicate_bits=30)


def picture(number: int) -> Image.Image:
    """48 x 40 px of coarse noise."""
    coarse = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((48, 40), Image.Resampling.BICUBIC)


def save(path: Path, number: int, *, quality: int = 90, orientation: int = 1) -> Path:
    """Write a picture in the format of its suffix; another quality gives a near duplicate."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation != 1:
        exif[0x0112] = orientation
    kind = {".png": "PNG", ".webp": "WEBP"}.get(path.suffix.lower(), "JPEG")
    picture(number).save(path, kind, quality=quality, exif=exif)
    return path


def make_source(root: Path, sizes: dict[str, int], first: int = 0) -> Path:
    """`<class>/<class>_<number>.jpg`, all different, numbered on from `first`."""
    number = first
    for label, size in sizes.items():
        for _ in range(size):
            save(root / label / f"{label}_{number}.jpg", number)
            number += 1
    return root


def tree(data: Path) -> dict[str, bytes]:
    """Contents by path of all files below a folder."""
    files = [path for path in sorted(data.rglob("*")) if path.is_file()]
    return {path.relative_to(data).as_posix(): path.read_bytes() for path in files}


def images(data: Path) -> dict[str, bytes]:
    """The same without core.csv."""
    return {path: content for path, content in tree(data).items() if path != "core.csv"}


def split_of(data: Path, name: str) -> str | None:
    """The split in which the one image of that name is."""
    found = [path for path in images(data) if path.rpartition("/")[2] == name]
    return found[0].partition("/")[0] if found else None
