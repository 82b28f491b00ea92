"""Git: for what has to work, and for records and reports, which do without where it does not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sortline.core.errors import SortlineError, UnreachableError
from sortline.core.programs import MINUTES_30, captured

_ASKING_S: Final = 30.0


def git(
    folder: Path,
    *arguments: str,
    error: type[SortlineError] = UnreachableError,
    variables: Mapping[str, str] | None = None,
) -> str:
    """What a git command prints.

    Args:
        folder: where it runs.
        arguments: of git.
        error: what a failure is raised as; by default, that it may work when it is run again.
        variables: of the environment, besides its own.

    Raises:
        SortlineError: it failed.
    """
    done = captured(folder, ["git", *arguments], timeout_s=MINUTES_30, **(variables or {}))
    if done.returncode != 0:
        message = done.stderr.decode(errors="replace").strip()
        raise error(f"`git {' '.join(arguments)}` failed: {message}")
    return done.stdout.decode(errors="surrogateescape")


def ask_git(folder: Path, *arguments: str) -> bytes | None:
    """What a git command prints; None where it fails or hangs, or there is no git."""
    try:
        done = captured(folder, ["git", *arguments], timeout_s=_ASKING_S)
    except SortlineError:
        return None
    return done.stdout if done.returncode == 0 else None


def checked_out(folder: Path) -> tuple[str | None, bool | None]:
    """The commit a folder is at, and whether files that git knows differ from it."""
    head = ask_git(folder, "rev-parse", "HEAD")
    if head is None:
        return None, None
    changed = ask_git(folder, "status", "--porcelain", "--untracked-files=no")
    return head.decode().strip(), None if changed is None else bool(changed)
