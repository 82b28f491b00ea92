"""Git, called one way: with a time limit, nobody asked for a password, and who commits named."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from sortline.core.errors import UnreachableError

_TIMEOUT_S: Final = 30.0
_IDENTITY: Final = {"NAME": "sortline", "EMAIL": "sortline@localhost"}


def environment(**extra: str) -> dict[str, str]:
    """This process's variables; `python` is this one, and git asks nobody who commits."""
    kept = dict(os.environ)
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    identity = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in _IDENTITY.items()
    }
    quiet = {"DVC_NO_ANALYTICS": "true", "GIT_TERMINAL_PROMPT": "0"}
    return {**kept, **identity, **quiet, "PATH": path, **extra}


def git(folder: Path, *arguments: str, **extra: str) -> str:
    """What a git command prints. It has no time limit: a clone takes as long as it takes.

    Raises:
        UnreachableError: it failed.
    """
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=environment(**extra),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise UnreachableError(f"`git {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done.stdout


def ask_git(folder: Path, *arguments: str) -> bytes | None:
    """What a git command prints, for records that do without; None where it fails or hangs."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def checked_out(folder: Path) -> tuple[str | None, bool | None]:
    """The commit a folder is at, and whether files that git knows differ from it."""
    head = ask_git(folder, "rev-parse", "HEAD")
    if head is None:
        return None, None
    changed = ask_git(folder, "status", "--porcelain", "--untracked-files=no")
    return head.decode().strip(), None if changed is None else bool(changed)
