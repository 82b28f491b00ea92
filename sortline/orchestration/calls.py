"""Programs that a run calls: DVC, and `sortline` of a clone."""

import json
import re
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sortline.core.errors import ArtifactError, SortlineError, UnreachableError
from sortline.core.git import environment

_STEP_STATUS = re.compile(r"exited with (-?\d+)")
_LAST_LINES = 8
_KILLED_BY_SHELL = 128


@dataclass(frozen=True)
class Called:
    """How a program ended, and the end of what it printed."""

    status: int
    tail: tuple[str, ...]

    @property
    def said(self) -> str:
        """The last lines as one text."""
        return "\n".join(self.tail)


def stream(folder: Path, command: Sequence[str], **extra: str) -> Called:
    """Run a program; what it prints is passed on line by line."""
    tail: list[str] = []
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment(**extra),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            tail = [*tail, line.rstrip()][-_LAST_LINES:]
    return Called(process.returncode, tuple(tail))


def dvc(folder: Path, *arguments: str, **extra: str) -> None:
    """Run a DVC command, and sort its failures into ours and those of the world.

    Raises:
        SortlineError: a step refused, or has a defect: the same command would end the same way.
        UnreachableError: a step was killed, or DVC itself failed, for example on its remote.
    """
    done = stream(folder, [sys.executable, "-m", "dvc", *arguments], **extra)
    if done.status == 0:
        return
    what = f"`dvc {' '.join(arguments)}` failed; the last lines were:\n{done.said}"
    found = [int(status) for status in _STEP_STATUS.findall(done.said)]
    lost = found and found[-1] == UnreachableError.exit_code
    if found and not lost and 0 < found[-1] < _KILLED_BY_SHELL:
        raise SortlineError(f"{what}\nThe step's own message, above, says what to change.")
    raise UnreachableError(f"{what}\nIt may work when it is run again.")


def sortline(folder: Path, *arguments: str, **extra: str) -> Called:
    """Run a command of `sortline` as the code in `folder` has it."""
    return stream(folder, [sys.executable, "-m", "sortline", *arguments], **extra)


def answer(folder: Path, statuses: Collection[int], *arguments: str, **extra: str) -> Any:
    """The JSON that a command of `sortline` prints with --json; its messages are passed on.

    Raises:
        SortlineError, UnreachableError: the exit status is not among `statuses`; see `require`.
        ArtifactError: what it printed is not JSON.
    """
    command = [sys.executable, "-m", "sortline", *arguments, "--json"]
    done = subprocess.run(
        command, cwd=folder, env=environment(**extra), capture_output=True, text=True, check=False
    )
    print(done.stderr, end="", flush=True)
    if done.returncode not in statuses:
        last = tuple(done.stderr.strip().splitlines()[-_LAST_LINES:])
        require(Called(done.returncode, last), f"`sortline {' '.join(arguments)}`")
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        text = f"`sortline {' '.join(arguments)} --json` printed no JSON: {done.stdout[:200]!r}."
        raise ArtifactError(text) from error


def require(done: Called, what: str) -> None:
    """Pass on the failure of a `sortline` command.

    Raises:
        UnreachableError: it was killed, or says that it may work when run again.
        SortlineError: it refused, or has a defect.
    """
    if done.status == 0:
        return
    message = f"{what} ended with exit status {done.status}:\n{done.said}"
    lost = done.status < 0 or done.status > _KILLED_BY_SHELL
    if lost or done.status == UnreachableError.exit_code:
        raise UnreachableError(message)
    raise SortlineError(message)
