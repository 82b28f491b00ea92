"""What was measured of an image is kept by its bytes: a later run decodes new images alone.

One file for each version of TensorFlow and of the code that measures; deleting it costs time alone.
Parquet checks the CRC-32 of its pages: when the file is damaged, everything is measured again.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from sortline.core.errors import BusyError
from sortline.core.files import atomic_file, exclusive, sha256_json

# Raise it when the same bytes are measured otherwise than before; a test holds reference values.
_MEASURES = 1


def measured_file(folder: Path, max_pixels: int) -> Path:
    """Where rows measured by this code, with this cap on pixels, are kept."""
    return folder / f"{sha256_json([tf.__version__, max_pixels, _MEASURES])[:32]}.parquet"


def read_measured(file: Path) -> dict[str, dict[str, Any]]:
    """Measured values by the image's sha256; none when there is no such file, or it is damaged."""
    try:
        table = pq.read_table(file, page_checksum_verification=True)
        return {row.pop("sha256"): row for row in table.to_pylist()}
    except (OSError, KeyError, pa.ArrowException):
        return {}


def write_measured(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace the file, whole; when it cannot be, the next run measures those images again.

    Args:
        file: see `measured_file`.
        rows: with the key sha256 and the measured values.
    """
    table = pa.Table.from_pylist(list(rows))
    lock = exclusive(file.with_suffix(".lock"), "Another validate step")
    with suppress(BusyError, OSError), lock, atomic_file(file) as partial:
        pq.write_table(table, partial, write_page_checksum=True)
