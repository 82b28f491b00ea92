"""Where a prediction log lies: Parquet files in a folder, or below a prefix of a bucket.

<log>/20261121T193605.123456-<writer>-000042.parquet           predictions
<log>/labels/20261122T080000.000000-<writer>-000000.parquet    labels that came later

A name begins with the time (UTC) at which the file was written, so a listing is sorted by time, and
no row in it is younger. <writer> is drawn at random for each writer: two never take the same name.
Files are written whole, and never changed.
"""

import io
import re
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sortline.core.errors import ArtifactError, DataError, ParamsError
from sortline.core.files import atomic_file

if TYPE_CHECKING:
    from sortline.releases.s3_bucket import Bucket

LABELS: Final = "labels/"
_TIME: Final = "%Y%m%dT%H%M%S.%f"
_NAME: Final = re.compile(r"(?:labels/)?(\d{8}T\d{6}\.\d{6})-[0-9a-f]{12}-\d{6,}\.parquet")
_TIMEOUT_S: Final = 10.0  # Of S3, for a connection and for each part of an answer.
_ATTEMPTS: Final = 3
_CLOCK_SHIFT: Final = timedelta(hours=1)  # A clock may be put back between a call and its file.
_FORGOTTEN_S: Final = 86400.0  # After which a half-written file has no writer any more.


class Names:
    """Names for the files of one writer, in the order in which they are asked for."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix, self._writer, self._number = prefix, uuid.uuid4().hex[:12], 0

    def next(self, now: datetime) -> str:
        """A name that nobody else takes; `now` is in UTC."""
        name = f"{self._prefix}{now:{_TIME}}-{self._writer}-{self._number:06d}.parquet"
        self._number += 1
        return name


def written_at(name: str) -> datetime | None:
    """When a file of the log was written, in UTC; None for a file that is not the log's."""
    match = _NAME.fullmatch(name)
    return datetime.strptime(match[1], _TIME).replace(tzinfo=UTC) if match else None


class LogStore(ABC):
    """A place for files of a log.

    All methods raise ArtifactError or ReleaseError when it fails; the message names it.
    """

    address: str

    @abstractmethod
    def names(self) -> list[str]:
        """Files that are there, relative to the log, sorted; others than the log's, too.

        Raises:
            ArtifactError: there is no such folder.
        """

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """The bytes of a file; None when it was removed, as old ones are at any time."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Write a file whole. Again with the same name and bytes, it changes nothing."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def sweep(self) -> None:  # noqa: B027 (a bucket has nothing half-written)
        """Remove what killed writers left half-written."""

    def close(self) -> None:  # noqa: B027 (a folder has nothing to close)
        """Close connections, if there are any."""

    def predictions(self, since: datetime | None = None) -> list[str]:
        """Names of the files with predictions in which rows from `since` (UTC) on may be."""
        found = [name for name in self.names() if not name.startswith(LABELS)]
        times = {name: time for name in found if (time := written_at(name))}
        return [name for name, at in times.items() if since is None or at >= since - _CLOCK_SHIFT]

    def labels(self) -> list[str]:
        """Names of the files with labels, the oldest first."""
        return [name for name in self.names() if name.startswith(LABELS) and written_at(name)]


class FolderLog(LogStore):
    """A log in a folder, of this machine or shared."""

    def __init__(self, root: Path) -> None:
        self._root, self.address = root, str(root)

    @contextmanager
    def _named(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ArtifactError(
                f"{self.address}: {what} failed: {error}. It has to be a folder that can be read"
                " and written, with space left."
            ) from error

    def names(self) -> list[str]:
        """See LogStore."""
        if not self._root.is_dir():
            raise ArtifactError(
                f"{self.address} is no folder; wanted one that a PredictionLog writes, or"
                " s3://bucket/prefix."
            )
        with self._named("listing files"):
            paths = [*self._root.glob("*.parquet"), *self._root.glob(f"{LABELS}*.parquet")]
            return sorted(path.relative_to(self._root).as_posix() for path in paths)

    def read(self, name: str) -> bytes | None:
        """See LogStore."""
        with self._named(f"reading {name}"):
            try:
                return (self._root / name).read_bytes()
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> None:
        """See LogStore."""
        with self._named(f"writing {name}"), atomic_file(self._root / name) as partial:
            partial.write_bytes(data)

    def remove(self, name: str) -> None:
        """See LogStore."""
        with self._named(f"removing {name}"):
            (self._root / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """See LogStore."""
        with self._named("removing half-written files"):
            for path in self._root.glob(".*.parquet.partial"):
                if time.time() - path.stat().st_mtime > _FORGOTTEN_S:
                    path.unlink(missing_ok=True)


class BucketLog(LogStore):
    """A log below a prefix of a bucket."""

    def __init__(self, bucket: "Bucket") -> None:
        self._bucket, self.address = bucket, bucket.address

    def names(self) -> list[str]:
        """See LogStore."""
        return sorted(self._bucket.names())

    def read(self, name: str) -> bytes | None:
        """See LogStore."""
        found = self._bucket.read(name)
        return None if found is None else found.data

    def write(self, name: str, data: bytes) -> None:
        """See LogStore."""
        # Nobody else takes the name: if it is there, an answer to an earlier attempt got lost.
        if self._bucket.put_if(name, data, None) is None and self._bucket.read(name) is None:
            raise ArtifactError(f"{self.address}/{name} was not written, and nothing says why.")

    def remove(self, name: str) -> None:
        """See LogStore."""
        self._bucket.delete(name)

    def close(self) -> None:
        """See LogStore."""
        self._bucket.close()


def open_log(address: str | Path) -> LogStore:
    """The log in a folder, or at `s3://bucket/prefix`; nothing is read or written yet.

    Raises:
        ParamsError: the address is neither.
    """
    text = str(address)
    if text.startswith("s3://"):
        from sortline.releases.s3_bucket import Bucket
        from sortline.releases.store import Limits

        bucket, _, prefix = text.removeprefix("s3://").partition("/")
        if not bucket:
            raise ParamsError(f"{text} names no bucket. Write s3://bucket/prefix.")
        return BucketLog(Bucket(bucket, prefix.strip("/"), Limits(_TIMEOUT_S, _ATTEMPTS)))
    if not text or "://" in text:
        raise ParamsError(f"{text!r} is no log. Give a folder, or s3://bucket/prefix.")
    return FolderLog(Path(text))


def read_tables(store: LogStore, names: Iterable[str], columns: Sequence[str]) -> Iterator[Any]:
    """Some columns of each file, as a pyarrow.Table; those that are gone are passed over.

    Raises:
        DataError: a file is damaged, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in names:
        if (data := store.read(name)) is None:
            continue
        try:
            table = pq.read_table(io.BytesIO(data), columns=list(columns))
        except (pa.ArrowException, KeyError) as error:
            raise DataError(
                f"{store.address}/{name} cannot be read: {str(error).splitlines()[0]}. Remove the"
                " file, or bring back a whole copy."
            ) from error
        yield table
