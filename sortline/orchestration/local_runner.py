"""A task's command as a subprocess of its own group, which never outlives the task.

Imports little: DAG files use it.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

from sortline.core.settings import read_settings
from sortline.orchestration.settings import SKIPPED, TEMPORARY

_GUARDED = "SORTLINE_ENDS_WITH_PARENT"
_KILLED_BY_SHELL = 128
_PREFIX = "sortline: "
_log = logging.getLogger(__name__)


class Skipped(Exception):  # noqa: N818 (no error: there was nothing to do)
    """The command had nothing to do; what depends on it is not to run."""


class Lost(Exception):  # noqa: N818 (the words of the house)
    """The process was killed, or the world failed it: the same command may work again."""


class Failed(Exception):  # noqa: N818
    """The command refused, or has a defect: the same command would end the same way."""


def ending_of(status: int, last: str) -> Exception | None:
    """What an exit status means for a scheduler.

    Args:
        status: negative or above 128 for a signal.
        last: the message, or the last line that was printed.
    """
    if status == 0:
        return None
    if status == SKIPPED:
        return Skipped(last)
    message = f"exit status {status}: {last}"
    by_signal = status < 0 or status > _KILLED_BY_SHELL
    return Lost(message) if status == TEMPORARY or by_signal else Failed(message)


def command(arguments: Sequence[str]) -> list[str]:
    """The `sortline` command of the project's environment (SORTLINE_PYTHON: another's)."""
    python = read_settings().python or sys.executable
    return [python, "-m", "sortline", *arguments]


def _end(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _message(lines: list[str], line: str) -> list[str]:
    """What a command says at its end: its message as a whole, or else its last line."""
    if line.startswith(_PREFIX) or not lines or not lines[0].startswith(_PREFIX):
        return [line] if line else lines
    return [*lines, line]


def run(arguments: Sequence[str]) -> None:
    """Run a command of `sortline`; its output goes to the log, line by line.

    Raises:
        Skipped, Lost, Failed: as `ending_of` says.
    """
    lines: list[str] = []
    with subprocess.Popen(
        command(arguments),
        env={**os.environ, _GUARDED: "1", "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,  # Never written to: its end tells the command that we are gone.
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            for line in process.stdout or ():
                _log.info(line.rstrip())
                lines = _message(lines, line.rstrip())
            status = process.wait()
        finally:
            _end(process.pid)
    if ending := ending_of(status, "\n".join(lines)):
        raise ending


def _wait_for_end() -> None:
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGKILL)


def end_with_parent() -> None:
    """Kill this process's whole group once whoever started it by `run` is gone, even by SIGKILL."""
    if os.environ.pop(_GUARDED, None) and os.getpgid(0) == os.getpid():
        threading.Thread(target=_wait_for_end, name="end-with-parent", daemon=True).start()
