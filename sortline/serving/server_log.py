"""What a server says on stderr while it runs: kept, searched, and waited for."""

import re
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import IO, Final

_KEPT_LINES: Final = 2000
_SHOWN_LINES: Final = 12
_WARM_UP: Final = re.compile(r"Number of warmup records read: (\d+)")


class ServerLog:
    """Reads a pipe to its end, in a thread of its own, so that the server never waits for us.

    Args:
        pipe: the server's stderr; closed when it has ended.
        echo: takes each line as well.
    """

    def __init__(self, pipe: IO[str], echo: Callable[[str], None] | None = None) -> None:
        self._pipe, self._echo = pipe, echo
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read, name="server log", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._pipe:
            for line in self._pipe:
                with self._changed:
                    self._lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
                if self._echo is not None:
                    self._echo(line)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, pattern: str, deadline: float) -> re.Match[str] | None:
        """The first match in any line; None when the pipe ends or the deadline passes first.

        Args:
            pattern: a regular expression.
            deadline: of `time.monotonic`.
        """
        with self._changed:
            while True:
                if found := self._search(re.compile(pattern)):
                    return found[0]
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    return None
                self._changed.wait(left)

    def _search(self, pattern: re.Pattern[str]) -> list[re.Match[str]]:
        return [match for line in self._lines if (match := pattern.search(line))]

    def warmup_records(self) -> int:
        """How many records all versions have played; both servers say it in the same words."""
        with self._changed:
            return sum(int(match[1]) for match in self._search(_WARM_UP))

    def tail(self) -> str:
        """The last lines, for an error message."""
        with self._changed:
            return "\n".join(list(self._lines)[-_SHOWN_LINES:])

    def join(self, timeout_s: float | None = None) -> None:
        """Wait until the pipe has ended, after the server has."""
        self._thread.join(timeout_s)
