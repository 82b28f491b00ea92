"""The manifest: one row an image of the dataset, with what was measured when it was decoded once.

Columns: path (relative to the repository's root, '/'-separated; rows are sorted by it), split,
label, sha256, perceptual_hash (64 hex digits), width, height, mode, orientation (EXIF), bytes,
brightness (mean luma, 0 to 255), sharpness (variance of the luma's Laplacian) and core (in the part
of the test split that never changes).

What was measured of an image is kept by its bytes: a later run decodes new images alone. One file
for each version of TensorFlow and of the code that measures; deleting it costs time alone.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from numpy.typing import NDArray

from sortline.core.errors import BusyError, DataError, ImageError
from sortline.core.files import atomic_file, exclusive, sha256_json
from sortline.core.params import SPLITS
from sortline.dataset.duplicates import luma, luma_hash
from sortline.dataset.layout import CORE, IMAGE_SUFFIXES, is_hidden, read_core
from sortline.dataset.threads import map_in_threads
from sortline.images.decode import decode_bytes, read_image_file
from sortline.images.header import read_header

_GET_DATA = (
    "Run `dvc pull` (the pinned version), `sortline generate` (the drawn dataset),"
    " or `sortline ingest SRC` (your own images)."
)
_BAND_ROWS = 256
# Raise it when the same bytes are measured otherwise than before; a test holds reference values.
_MEASURES = 1


@dataclass(frozen=True)
class Row:
    """One image: see the module's docstring."""

    path: str
    split: str
    label: str
    sha256: str
    perceptual_hash: str
    width: int
    height: int
    mode: str
    orientation: int
    bytes: int
    brightness: float
    sharpness: float


@dataclass(frozen=True)
class Listing:
    """What lies in the dataset's folder: images by path, and strays with the reason."""

    images: list[str]
    strays: dict[str, str]


@dataclass(frozen=True)
class Measured:
    """The manifest of what could be decoded, and the rest."""

    frame: pd.DataFrame
    refused: list[ImageError]


def list_images(root: Path) -> Listing:
    """Find every image below `root/data`; hidden files are ignored, other strays are named.

    Raises:
        DataError: a folder is missing, or a split holds no image.
    """
    data = root / "data"
    if not data.is_dir():
        raise DataError(f"{data} is missing. {_GET_DATA}")
    images: list[str] = []
    strays = {
        f"data/{entry.name}": "not a split: train, val or test"
        for entry in data.iterdir()
        if entry.is_dir() and not is_hidden(entry.name) and entry.name not in SPLITS
    }
    for split in SPLITS:
        files = list(_files_of_split(data / split))
        own = [path for path, reason in files if not reason]
        strays |= {path: reason for path, reason in files if reason}
        if not own:
            needed = "every split needs some of every class"
            raise DataError(f"{data / split} holds no images; {needed}. {_GET_DATA}")
        images += own
    return Listing(sorted(images), dict(sorted(strays.items())))


def measure(
    root: Path, images: Sequence[str], *, max_pixels: int, kept: Path | None = None
) -> Measured:
    """Decode every image once, in threads, and measure it.

    Args:
        root: of the repository.
        images: paths below it.
        max_pixels: larger images are refused.
        kept: folder of what was measured before; those images are not decoded again.
    """
    version = sha256_json([tf.__version__, max_pixels, _MEASURES])[:32]
    file = kept / f"{version}.parquet" if kept else None
    measured = read_measured(file) if file else {}
    measure_one = partial(_measure, root, measured, max_pixels=max_pixels)
    results = map_in_threads(measure_one, images, what="decode")
    rows = [result for result in results if isinstance(result, Row)]
    refused = [result for result in results if isinstance(result, ImageError)]
    if file:
        _keep(file, measured, rows)
    frame = pd.DataFrame([asdict(row) for row in rows], columns=list(Row.__annotations__))
    return Measured(frame, refused)


def _keep(file: Path, measured: dict[str, dict[str, Any]], rows: Sequence[Row]) -> None:
    places = ("path", "split", "label", "sha256")
    new = {
        row.sha256: {key: value for key, value in asdict(row).items() if key not in places}
        for row in rows
    }
    if not new.keys() <= measured.keys():
        both = measured | new
        write_measured(file, ({"sha256": sha, **both[sha]} for sha in sorted(both)))


def read_measured(file: Path) -> dict[str, dict[str, Any]]:
    """Measured values by the image's sha256; none when there is no such file, or it is damaged.

    Parquet checks the CRC-32 of its pages: when one is damaged, everything is measured again.
    """
    try:
        table = pq.read_table(file, page_checksum_verification=True)
        return {row.pop("sha256"): row for row in table.to_pylist()}
    except (OSError, KeyError, pa.ArrowException):
        return {}


def write_measured(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace the file, whole; when it cannot be, the next run measures those images again.

    Args:
        file: see `measure`.
        rows: with the key sha256 and the measured values.
    """
    table = pa.Table.from_pylist(list(rows))
    lock = exclusive(file.with_suffix(".lock"), "Another validate step")
    with suppress(BusyError, OSError), lock, atomic_file(file) as partial:
        pq.write_table(table, partial, write_page_checksum=True)


def mark_core(frame: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Add the column `core`: the test images that data/core.csv lists, or all where it is missing.

    Raises:
        DataError: the list cannot be read, or names images that are not in the test split.
    """
    file, is_test = root / "data" / CORE, frame["split"] == "test"
    if not file.exists():
        return frame.assign(core=is_test)
    core = set(read_core(file))
    missing = sorted(core - set(frame.loc[is_test, "path"]))
    if missing:
        raise DataError(
            f"{file} lists {len(core)} images of the frozen test split, {len(missing)} of them are"
            f" not there (first: {missing[0]}). Figures would not be comparable any more: restore"
            " them (`dvc checkout data.dvc`), or delete the list to start a new core."
        )
    return frame.assign(core=frame["path"].isin(core))


def sharpness(grey: NDArray[np.uint8]) -> float:
    """Variance of the 4-neighbour Laplacian of uint8 [H, W]; 0 for less than 3 pixels a side."""
    total = squares = 0
    for start in range(1, len(grey) - 1, _BAND_ROWS):
        band = grey[start - 1 : min(start + _BAND_ROWS, len(grey) - 1) + 1].astype(np.int32)
        inner = band[1:-1, 1:-1]
        sides = band[:-2, 1:-1] + band[2:, 1:-1] + band[1:-1, :-2] + band[1:-1, 2:]
        edges = sides - 4 * inner
        total += int(edges.sum(dtype=np.int64))
        squares += int(np.square(edges).sum(dtype=np.int64))
    count = max(0, grey.shape[0] - 2) * max(0, grey.shape[1] - 2)
    return squares / count - (total / count) ** 2 if count else 0.0


def _files_of_split(folder: Path) -> Iterator[tuple[str, str]]:
    """Paths below one split, each with why it is no image of the dataset ("" when it is)."""
    top = f"data/{folder.name}"
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if is_hidden(entry.name):
            continue
        if not entry.is_dir():
            yield f"{top}/{entry.name}", "not in a class folder"
            continue
        for file in entry.iterdir():
            if not is_hidden(file.name):
                yield f"{top}/{entry.name}/{file.name}", _why_stray(file)


def _why_stray(file: Path) -> str:
    if file.is_dir():
        return "a folder inside a class folder"
    is_image = file.suffix.lower() in IMAGE_SUFFIXES
    return "" if is_image else f"no image by its name; wanted {', '.join(sorted(IMAGE_SUFFIXES))}"


def _measure(
    root: Path, measured: Mapping[str, Mapping[str, Any]], path: str, *, max_pixels: int
) -> Row | ImageError:
    _, split, label, _ = path.split("/")
    place: dict[str, Any] = {"path": path, "split": split, "label": label}
    try:
        data = read_image_file(root / path)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 in measured:
            return Row(**place, sha256=sha256, **measured[sha256])
        header = read_header(data, max_pixels=max_pixels, path=path)
        pixels = decode_bytes(data, max_pixels=max_pixels, path=path)
    except ImageError as error:
        return ImageError(path, error.sha256, error.reason, error.detail)
    grey = luma(pixels)
    return Row(
        **place,
        sha256=sha256,
        perceptual_hash=luma_hash(grey),
        width=header.width,
        height=header.height,
        mode=header.mode,
        orientation=header.orientation,
        bytes=len(data),
        brightness=int(grey.sum(dtype=np.int64)) / grey.size,
        sharpness=sharpness(grey),
    )
