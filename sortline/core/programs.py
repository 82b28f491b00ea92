"""Programs that this one starts: their variables, how long they may take, what their end means."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sortline.core.errors import ArtifactError, SortlineError, UnreachableError

MINUTES_30: Final = 1800.0
"""For what asks another machine, or copies a repository."""
_IDENTITY: Final = {"NAME": "sortline", "EMAIL": "sortline@localhost"}
# A hook of git sets these for its own repository: they would lead git away from the named folder.
_OF_ANOTHER_REPOSITORY: Final = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)
_LAST_LINES: Final = 8
_KILLED_BY_SHELL: Final = 128


def environment(**extra: str) -> dict[str, str]:
    """This process's variables; `python` is this one, and git asks nobody who commits."""
    variables = {
        name: text for name, text in os.environ.items() if name not in _OF_ANOTHER_REPOSITORY
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{variables.get('PATH', '')}"
    identity = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in _IDENTITY.items()
    }
    quiet = {"DVC_NO_ANALYTICS": "true", "GIT_TERMINAL_PROMPT": "0"}
    return {**variables, **identity, **quiet, "PATH": path, **extra}


def captured(
    folder: Path,
    command: Sequence[str],
    *,
    timeout_s: float,
    given: str = "",
    **extra: str,
) -> "subprocess.CompletedProcess[bytes]":
    """Run a program, and keep what it prints; `given` is its input.

    Raises:
        ArtifactError: there is no such program.
        UnreachableError: it took longer than `timeout_s`.
    """
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=environment(**extra),
            input=given.encode(),
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except OSError as error:
        raise ArtifactError(f"{command[0]} cannot be started in {folder}: {error}.") from error
    except subprocess.TimeoutExpired as error:
        what = " ".join(command)
        raise UnreachableError(f"`{what}` took longer than {timeout_s:.0f} s: ended.") from error


@dataclass(frozen=True)
class Ended:
    """How a program ended, and the last lines of what it printed."""

    status: int
    tail: str

    @property
    def was_killed(self) -> bool:
        """Whether a signal ended it, as its parent or a shell tells it."""
        return self.status < 0 or self.status > _KILLED_BY_SHELL

    def require(self, what: str) -> None:
        """Pass on the failure of a command of ours.

        Raises:
            UnreachableError: it was killed, or says that it may work when run again.
            SortlineError: it refused, or has a defect.
        """
        if self.status == 0:
            return
        message = f"{what} ended with exit status {self.status}:\n{self.tail}"
        if self.was_killed or self.status == UnreachableError.exit_code:
            raise UnreachableError(message)
        raise SortlineError(message)


def streamed(folder: Path, command: Sequence[str], **extra: str) -> Ended:
    """Run a program for as long as it takes; what it prints is passed on line by line."""
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
    return Ended(process.returncode, "\n".join(tail))


def last_lines(text: bytes) -> str:
    """The end of what a program printed."""
    return "\n".join(text.decode(errors="replace").strip().splitlines()[-_LAST_LINES:])
