"""A machine of its own for a command of `sortline`."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from helpers.workspaces import environment


def call_sortline(folder: Path, arguments: Sequence[str], variables: dict[str, str]) -> str:
    """Call `sortline`; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "sortline", *arguments],
        cwd=folder,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


class Pod:
    """A machine of its own: what it keeps is gone with it."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder, self.variables = folder, variables

    def run(self, arguments: str | Sequence[str]) -> str:
        """Run a pod's command, and lose everything it had; what it printed."""
        words = shlex.split(arguments) if isinstance(arguments, str) else arguments
        self.folder.mkdir()
        own = {
            "SORTLINE_WORK_DIR": str(self.folder / "work"),
            "SORTLINE_STATE_DIR": str(self.folder / "state"),
            "HOME": str(self.folder),
        }
        try:
            return call_sortline(self.folder, words, {**self.variables, **own})
        finally:
            shutil.rmtree(self.folder)
