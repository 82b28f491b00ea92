"""The prediction log: a sample of what a client sent and got, in Parquet files.

    from sortline.client import Client
    from sortline.core.prediction_log import PredictionLog
    with PredictionLog("s3://bucket/log", share=0.1) as log, Client("host:8500", log=log) as client:
        ...

Predicting never waits for it and never fails by it: rows wait in memory, a thread of the log's own
writes them, and what it cannot keep up with is dropped, counted, and warned of once. Where files
lie, and what they are called, stands in log_files.py. It needs pyarrow, which `sortline` alone
does not install: `sortline[serving]` does.
"""

import atexit
import io
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Final

from sortline.core.errors import ParamsError, SortlineError
from sortline.core.log_files import Names, open_log, prediction_files, written_at
from sortline.core.logged_predictions import Buffer, FileLimits, LoggedPrediction
from sortline.core.storage import required_library

_LOG: Final = logging.getLogger("sortline.prediction_log")
_PRUNE_EVERY: Final = timedelta(hours=1)
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0  # Between attempts to write, doubled each time.
_FORGOTTEN_S: Final = 86400.0  # After which a half-written file has no writer any more.
_HASH_DIGITS: Final = 16
_THREAD: Final = "sortline-prediction-log"


@dataclass(frozen=True)
class Counts:
    """What became of the rows, so far.

    Attributes:
        written: rows that are in a file.
        dropped: rows for which there was no room in memory, or that came after `close`.
        lost: rows that could not be written before the log was closed.
        failures: attempts to write, or to remove old files, that failed.
        removed: files that were older than `keep_days`.
    """

    written: int = 0
    dropped: int = 0
    lost: int = 0
    failures: int = 0
    removed: int = 0


def is_sampled(sha256: str, share: float) -> bool:
    """Whether an image is of the sample: its hash decides, so a retry gets the same answer."""
    return int(sha256[:_HASH_DIGITS], 16) < share * 16**_HASH_DIGITS


def encode(rows: Sequence[LoggedPrediction], *, images: bool) -> bytes:
    """Rows as a Parquet file; times in UTC, to the microsecond."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = {
        "time": pa.timestamp("us", tz="UTC"),
        "model": pa.string(),
        "version": pa.int64(),
        "sha256": pa.string(),
        "class_id": pa.int64(),
        "label": pa.string(),
        "probabilities": pa.list_(pa.float32()),
        "valid": pa.bool_(),
        "latency_s": pa.float64(),
    }
    if images:
        fields["image"] = pa.binary()
    columns = {name: [getattr(row, name) for row in rows] for name in fields}
    table = pa.table(columns, schema=pa.schema(list(fields.items())))
    target = io.BytesIO()
    pq.write_table(table, target, compression="zstd")
    return target.getvalue()


def _require_libraries(address: str) -> None:
    # Here, where somebody sees what is missing.
    library = required_library(address)
    for name in ("pyarrow.parquet", *([library] if library else [])):
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            raise ParamsError(
                f"A prediction log needs {name.partition('.')[0]}, which is not installed here:"
                " pip install 'sortline[serving]'."
            ) from error
    # pyarrow imports more when it first works, which a program that is about to end cannot do.
    encode([], images=False)


@dataclass
class PredictionLog:
    """Takes what a client tells it; call `close`, or use it in a `with` block, to write the rest.

    Attributes:
        address: a folder, or `s3://bucket/prefix`. Several logs may write to the same.
        share: of the images, 0 to 1, chosen by their SHA-256.
        images: whether the bytes of the images are kept, in the column `image`.
        max_rows: of a file.
        max_bytes: of the images of a file.
        max_age_s: after which a file is written that is not full.
        keep_days: after which a file is removed whole, by whoever writes to the log; None: never.

    Raises:
        ParamsError: a setting is out of range.
    """

    address: str | Path
    share: float = field(default=1.0, kw_only=True)
    images: bool = field(default=False, kw_only=True)
    max_rows: int = field(default=10_000, kw_only=True)
    max_bytes: int = field(default=64 << 20, kw_only=True)
    max_age_s: float = field(default=300.0, kw_only=True)
    keep_days: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._check()
        _require_libraries(str(self.address))
        self._store = open_log(self.address)
        self._buffer = Buffer(FileLimits(self.max_rows, self.max_bytes, self.max_age_s))
        self._counts, self._guard = Counts(), threading.Lock()
        self._thread: threading.Thread | None = None
        self._names, self._pruned = Names(), datetime.min.replace(tzinfo=UTC)
        self._warned: set[str] = set()
        self._giving_up = False

    def _check(self) -> None:
        wrong = {
            "share": not 0.0 <= self.share <= 1.0,
            "max_rows": self.max_rows < 1,
            "max_bytes": self.max_bytes < 1,
            "max_age_s": self.max_age_s <= 0.0,
            "keep_days": self.keep_days is not None and self.keep_days <= 0.0,
        }
        if faults := [name for name, is_wrong in wrong.items() if is_wrong]:
            name = faults[0]
            required = "from 0 to 1" if name == "share" else "above 0"
            raise ParamsError(f"{name} is {getattr(self, name)}; it should be {required}.")

    @property
    def counts(self) -> Counts:
        """What became of the rows, so far."""
        with self._guard:
            return self._counts

    def __call__(self, row: LoggedPrediction) -> None:
        """Take note of an image; never waits for a disk or a network, and raises nothing."""
        if not is_sampled(row.sha256, self.share):
            return
        if self._buffer.add(row if self.images else replace(row, image=b"")):
            self._start()
        else:
            self._count(dropped=1)
            self._warn_once("dropped", "rows come faster than they are written: some are dropped")

    def _start(self) -> None:
        if self._thread is not None:
            return
        with self._guard:
            if self._thread is None:
                # A daemon: a storage that hangs must not keep a program from ending.
                self._thread = threading.Thread(target=self._work, name=_THREAD, daemon=True)
                self._thread.start()
                atexit.register(self.close)

    def _work(self) -> None:
        while rows := self._buffer.take():
            try:
                self._write(rows)
            except Exception as error:  # The thread goes on: nobody would notice that it ended.
                self._count(lost=len(rows))
                self._warn_once(
                    "lost", f"{len(rows)} rows cannot be written, and are lost: {error!r}"
                )

    def _write(self, rows: Sequence[LoggedPrediction]) -> None:
        now, wait_s = datetime.now(UTC), _FIRST_WAIT_S
        name, data = self._names.next(now), encode(rows, images=self.images)
        while not self._tried(lambda: self._store.create(name, data)):
            if self._giving_up:
                self._count(lost=len(rows))
                return
            # After closing, there is one attempt more, for all that waits together.
            self._giving_up = self._buffer.closed_within(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        self._giving_up = False
        self._count(written=len(rows))
        self._prune(now)

    def _prune(self, now: datetime) -> None:
        if self.keep_days is not None and now - self._pruned >= _PRUNE_EVERY:
            self._pruned = now
            self._tried(lambda: self._remove_older(now - timedelta(days=self.keep_days or 0.0)))

    def _remove_older(self, limit: datetime) -> None:
        for name in prediction_files(self._store):
            at = written_at(name)
            if at is not None and at < limit:
                self._store.delete(name)
                self._count(removed=1)
        self._store.sweep(_FORGOTTEN_S)

    def _tried(self, work: Callable[[], object]) -> bool:
        try:
            work()
        except SortlineError as error:
            self._count(failures=1)
            self._warn_once("failed", f"{error} It is tried again; predictions go on.")
            return False
        return True

    def _count(self, **more: int) -> None:
        with self._guard:
            changed = {name: getattr(self._counts, name) + by for name, by in more.items()}
            self._counts = replace(self._counts, **changed)

    def _warn_once(self, kind: str, what: str) -> None:
        with self._guard:
            is_new = kind not in self._warned
            self._warned.add(kind)
        if is_new:  # Once: what is counted need not be repeated.
            _LOG.warning("%s: %s", self._store.address, what)

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Write what waits, full or not; False if that took longer than `timeout_s`."""
        return self._thread is None or self._buffer.settled(timeout_s)

    def close(self, timeout_s: float = 30.0) -> None:
        """Write what waits and take no more; after `timeout_s`, what is not written is lost."""
        self._buffer.close()
        atexit.unregister(self.close)
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                self._count(lost=self._buffer.unsettled)
                self._warn_once(
                    "hung", f"rows were not written within {timeout_s:g} s: they are lost"
                )
            self._thread = None
        self._store.close()

    def __enter__(self) -> "PredictionLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
