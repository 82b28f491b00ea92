"""Rows of a prediction log: what one holds, and where they wait for their file."""

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

_FILES_WAITING: Final = 4  # So many files' worth of rows may wait: beyond that, a disk is at fault.


@dataclass(frozen=True)
class LoggedPrediction:
    """One image, as it was sent, and what came back for it.

    Attributes:
        time: when the call that carried it began, in UTC.
        model: the model's name on the server.
        version: the version that answered.
        sha256: of the bytes sent, in hex. Of a picture that was turned, that is the turned one.
        class_id: -1 where the server found the image invalid.
        label: "" where the server found the image invalid.
        probabilities: in the order of class ids; all zero where the image is invalid.
        valid: whether the server could read the image.
        latency_s: of the call that carried it, retries included, in seconds.
        image: the bytes sent.
    """

    time: datetime
    model: str
    version: int
    sha256: str
    class_id: int
    label: str
    probabilities: tuple[float, ...]
    valid: bool
    latency_s: float
    image: bytes = field(repr=False)


@dataclass(frozen=True)
class FileLimits:
    """When a file is full.

    Attributes:
        rows: so many rows, at most.
        bytes: so many bytes of images, or the first row beyond.
        age_s: seconds after the first row came.
    """

    rows: int
    bytes: int
    age_s: float


class Buffer:
    """Any number of threads add rows; one takes them, a file's worth at a time."""

    def __init__(self, limits: FileLimits) -> None:
        self._limits, self._changed = limits, threading.Condition()
        self._rows: deque[LoggedPrediction] = deque()
        self._bytes = self._taken = 0
        self._oldest = 0.0
        self._hurry = self._closed = False

    def add(self, row: LoggedPrediction) -> bool:
        """Let a row wait; False when there is no room, or no more rows are taken."""
        with self._changed:
            full = len(self._rows) >= _FILES_WAITING * self._limits.rows
            heavy = self._bytes >= _FILES_WAITING * self._limits.bytes
            if self._closed or full or heavy:
                return False
            self._rows.append(row)
            self._bytes += len(row.image)
            if len(self._rows) == 1:
                self._oldest = time.monotonic()
            if len(self._rows) == 1 or self._is_full():
                self._changed.notify_all()
            return True

    def _is_full(self) -> bool:
        return len(self._rows) >= self._limits.rows or self._bytes >= self._limits.bytes

    def _due_in_s(self) -> float | None:
        """Seconds until a file is due; None: until something changes."""
        if self._closed or self._is_full() or (self._hurry and self._rows):
            return 0.0
        if not self._rows:
            return None
        return max(0.0, self._oldest + self._limits.age_s - time.monotonic())

    def take(self) -> list[LoggedPrediction]:
        """Wait for a file's worth of rows, and take them; none when it is closed and empty.

        Those taken before count as settled from then on.
        """
        with self._changed:
            self._taken = 0
            self._changed.notify_all()
            while (due_in_s := self._due_in_s()) != 0.0:
                self._changed.wait(due_in_s)
            rows = self._pop()
            self._taken, self._hurry = len(rows), self._hurry and bool(self._rows)
            return rows

    def _pop(self) -> list[LoggedPrediction]:
        rows: list[LoggedPrediction] = []
        size = 0
        while self._rows and len(rows) < self._limits.rows and size < self._limits.bytes:
            rows.append(self._rows.popleft())
            size += len(rows[-1].image)
        self._bytes -= size
        self._oldest = time.monotonic()
        return rows

    def settled(self, timeout_s: float) -> bool:
        """Have all rows taken at once, and wait until they are settled; False if it took longer."""
        with self._changed:
            self._hurry = bool(self._rows)
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._rows and not self._taken, timeout_s)

    def close(self) -> None:
        """Take no more rows, and have those that wait taken at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def closed_within(self, seconds: float) -> bool:
        """Wait; True as soon as it is closed."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, seconds)

    @property
    def unsettled(self) -> int:
        """Rows that wait, or were taken and are not settled."""
        with self._changed:
            return len(self._rows) + self._taken
