"""Where a prediction log lies: Parquet files in a folder, or below a prefix of a bucket.

<log>/20261121T193605.123456-<writer>-000042.parquet           predictions
<log>/labels/20261122T080000.000000-<writer>-000000.parquet    labels that came later

A name begins with the time (UTC) at which the file was written, so a listing is sorted by time, and
no row in it is younger. <writer> is drawn at random for each writer: two never take the same name.
Files are written whole, and never changed.
"""

import io
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sortline.core.errors import ArtifactError, DataError
from sortline.core.storage import Limits, Storage, open_storage

if TYPE_CHECKING:
    import pyarrow as pa

LABELS: Final = "labels"
_TIME: Final = "%Y%m%dT%H%M%S.%f"
_NAME: Final = re.compile(r"(?:labels/)?(\d{8}T\d{6}\.\d{6})-[0-9a-f]{12}-\d{6,}\.parquet")
_LIMITS: Final = Limits(timeout_s=10.0, attempts=3)
_CLOCK_SHIFT: Final = timedelta(hours=1)  # A clock may be put back between a call and its file.


class Names:
    """Names for the files of one writer, in the order in which they are asked for."""

    def __init__(self, folder: str = "") -> None:
        self._prefix = f"{folder}/" if folder else ""
        self._writer, self._number = uuid.uuid4().hex[:12], 0

    def next(self, now: datetime) -> str:
        """A name that nobody else takes; `now` is in UTC."""
        name = f"{self._prefix}{now:{_TIME}}-{self._writer}-{self._number:06d}.parquet"
        self._number += 1
        return name


def written_at(name: str) -> datetime | None:
    """When a file of the log was written, in UTC; None for a file that is not the log's."""
    match = _NAME.fullmatch(name)
    return datetime.strptime(match[1], _TIME).replace(tzinfo=UTC) if match else None


def open_log(address: str | Path) -> Storage:
    """The storage of a log; nothing is read or written yet, and what fails is an ArtifactError.

    Raises:
        ParamsError: it is no address of a storage.
    """
    return open_storage(address, _LIMITS, error=ArtifactError)


def _names(log: Storage) -> list[str]:
    if log.is_missing():
        raise ArtifactError(
            f"{log.address} is no folder. Give one that a PredictionLog writes, or"
            " s3://bucket/prefix."
        )
    return [name for name in log.names() if written_at(name)]


def prediction_files(log: Storage, since: datetime | None = None) -> list[str]:
    """Names of the files in which predictions from `since` (UTC) on may be, the oldest first.

    Raises:
        ArtifactError: there is no such folder, or it cannot be listed.
    """
    names = [name for name in _names(log) if not name.startswith(f"{LABELS}/")]
    if since is None:
        return names
    oldest = since - _CLOCK_SHIFT
    return [name for name in names if (at := written_at(name)) and at >= oldest]


def label_files(log: Storage) -> list[str]:
    """Names of the files with labels, the oldest first.

    Raises:
        ArtifactError: there is no such folder, or it cannot be listed.
    """
    return [name for name in _names(log) if name.startswith(f"{LABELS}/")]


def read_tables(log: Storage, names: Iterable[str], columns: Sequence[str]) -> "Iterator[pa.Table]":
    """Some columns of each file; those that are gone, as old ones are at any time, are passed over.

    Raises:
        ArtifactError: the log cannot be read.
        DataError: a file is damaged, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in names:
        if (file := log.read(name)) is None:
            continue
        try:
            table = pq.read_table(io.BytesIO(file.data), columns=list(columns))
        except (pa.ArrowException, KeyError) as error:
            raise DataError(
                f"{log.address}/{name} cannot be read: {str(error).splitlines()[0]}. Remove the"
                " file, or bring back a whole copy."
            ) from error
        yield table
