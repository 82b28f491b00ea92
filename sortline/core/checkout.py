"""What git says of a folder, for records and reports: where it says nothing, they do without."""

import subprocess
from pathlib import Path

_TIMEOUT_S = 30.0


def ask_git(folder: Path, *arguments: str) -> bytes | None:
    """What a git command prints; None where it fails, hangs, or there is no git."""
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
