"""Labels of images that were sent: as somebody gives them, and as they lie in a prediction log."""

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sortline.core.errors import DataError
from sortline.core.log_files import LABELS, Names, label_files, read_tables
from sortline.core.storage import Storage

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_COLUMNS: Final = ("sha256", "label")
Labels = dict[str, str]
"""Class names by the SHA-256, in hex, of the image's bytes as they were sent."""


@dataclass(frozen=True)
class LabelCsv:
    """What a CSV holds.

    Attributes:
        labels: the last one of each image.
        rows: how many there are.
        duplicates: rows of an image that an earlier row had named.
        relabelled: those of them with another label.
    """

    labels: Labels
    rows: int
    duplicates: int
    relabelled: int


def read_csv(path: Path) -> LabelCsv:
    """Labels of a CSV; other columns than sha256 and label are passed over.

    Raises:
        DataError: it cannot be read, lacks a column, or a row is no hash with a label: nothing is
            joined then.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in _COLUMNS if name not in (reader.fieldnames or ())]:
                raise DataError(
                    f"{path} has no column {missing[0]}; its first line has to name the columns"
                    " sha256 and label."
                )
            return _counted(_checked(path, reader.line_num, row) for row in reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}. Give a CSV in UTF-8.") from error


def _checked(path: Path, line: int, row: dict[str, Any]) -> tuple[str, str]:
    sha256, label = ((row[name] or "").strip() for name in _COLUMNS)
    if not _SHA256.fullmatch(sha256.lower()) or not label:
        raise DataError(
            f"{path}, line {line}: sha256 is {sha256!r} and label {label!r}; they have to be 64"
            " hexadecimal digits and a class. Nothing was joined."
        )
    return sha256.lower(), label


def _counted(rows: Iterable[tuple[str, str]]) -> LabelCsv:
    labels: Labels = {}
    count = duplicates = relabelled = 0
    for sha256, label in rows:
        count += 1
        if sha256 in labels:
            duplicates += 1
            relabelled += labels[sha256] != label
        labels[sha256] = label
    return LabelCsv(labels, count, duplicates, relabelled)


def known_labels(log: Storage) -> Labels:
    """All labels that were joined to a log so far; the latest of each image."""
    labels: Labels = {}
    for table in read_tables(log, label_files(log), _COLUMNS):
        labels.update(zip(*(table[column].to_pylist() for column in _COLUMNS), strict=True))
    return labels


def write_labels(log: Storage, labels: Labels) -> str | None:
    """Write labels as one more file of a log, and name it; None when there are none."""
    if not labels:
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = io.BytesIO()
    columns = {"sha256": list(labels), "label": list(labels.values())}
    pq.write_table(pa.table(columns), target, compression="zstd")
    name = Names(LABELS).next(datetime.now(UTC))
    log.create(name, target.getvalue())
    return name
