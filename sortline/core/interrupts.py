"""SIGINT and SIGTERM as KeyboardInterrupt, but never between starting something and being able to
stop it.
"""

import signal
import threading
from types import FrameType
from typing import Any, Final, Self

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Holds both signals back, except while they are let through.

    A scheduler's SIGTERM is to be cleaned up after just as Ctrl-C is. Python hands signals to the
    main thread alone: in another one this does nothing.
    """

    def __init__(self) -> None:
        self._held = True
        self._pending: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._arrived) for number in _SIGNALS}
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._pending is not None and kind is None:
            raise KeyboardInterrupt(f"signal {self._pending}")

    def _arrived(self, number: int, _: FrameType | None) -> None:
        self._pending = number
        if not self._held:
            self._held = True
            raise KeyboardInterrupt(f"signal {number}")

    def let_through(self) -> None:
        """From now on they interrupt.

        Raises:
            KeyboardInterrupt: one has come in the meantime.
        """
        self._held = False
        if self._pending is not None:
            self._arrived(self._pending, None)

    def hold(self) -> None:
        """From now on they wait."""
        self._held = True
