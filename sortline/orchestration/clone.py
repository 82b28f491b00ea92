"""Throw-away clones: two tasks never share a working tree, so DVC's lock never collides."""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sortline.core import dvc as dvc_commands
from sortline.core.errors import ArtifactError, ParamsError, UnreachableError
from sortline.core.files import remove
from sortline.core.git import git
from sortline.core.programs import MINUTES_30, Ended, captured, last_lines, streamed
from sortline.orchestration.settings import Settings

_CONFIG = """\
[core]
    analytics = false
    check_update = false
    autostage = false
    hardlink_lock = false
    remote = run
    site_cache_dir = {site}
[cache]
    dir = {cache}
    type = "reflink,hardlink,symlink,copy"
['remote "run"']
    url = {remote}
"""


@dataclass(frozen=True)
class Clone:
    """A clone of the repository, where its state is, and the commands of its own code."""

    folder: Path
    state: Path

    def dvc(self, *arguments: str) -> None:
        """Run a DVC command; it fails as `core.dvc.dvc` does."""
        dvc_commands.dvc(self.folder, *arguments, SORTLINE_STATE_DIR=str(self.state))

    def run(self, module: str, *arguments: str) -> Ended:
        """Run a module of the clone's code, as `python -m` does."""
        command = [sys.executable, "-m", module, *arguments]
        return streamed(self.folder, command, SORTLINE_STATE_DIR=str(self.state))

    def sortline(self, *arguments: str) -> None:
        """Run a command of `sortline`; it fails as `Ended.require` does."""
        self.run("sortline", *arguments).require(f"`sortline {' '.join(arguments)}`")

    def answer(self, *arguments: str, statuses: tuple[int, ...] = (0,)) -> Any:
        """What a command of `sortline` answers with --json; it fails as `Ended.require` does.

        Args:
            arguments: of `sortline`, without --json.
            statuses: exit statuses with which there is an answer.
        """
        command = [sys.executable, "-m", "sortline", *arguments, "--json"]
        state = str(self.state)
        done = captured(self.folder, command, timeout_s=MINUTES_30, SORTLINE_STATE_DIR=state)
        print(done.stderr.decode(errors="replace"), end="", flush=True)
        if done.returncode not in statuses:
            ended = Ended(done.returncode, last_lines(done.stderr))
            ended.require(f"`sortline {' '.join(arguments)}`")
        return json.loads(done.stdout)


def commit_of(folder: Path, revision: str) -> str:
    """The commit that a branch, a tag or a commit's name stands for, as the repository has it.

    Raises:
        ParamsError: there is no such revision.
    """
    for name in (f"origin/{revision}", revision):
        try:
            return git(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()
        except UnreachableError:
            continue
    raise ParamsError(
        f"The repository has no revision {revision!r}. Give a branch, a tag or a commit that was"
        " pushed to it."
    )


def write_files(folder: Path, files: Mapping[str, str | None]) -> None:
    """Put small files, by path, into a clone; None removes one."""
    for name, text in files.items():
        path = folder / name
        if text is None:
            remove(path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


@contextmanager
def cloned(
    settings: Settings, name: str, revision: str, files: Mapping[str, str | None]
) -> Iterator[Clone]:
    """A clone at a revision with these files laid over it; removed when the block ends.

    Args:
        settings: where the repository and DVC's storage are.
        name: of the clone's folder: what a killed command of the same name left is removed first.
        revision: a branch, a tag or a commit.
        files: by path; see `write_files`.

    Raises:
        UnreachableError: the repository cannot be cloned.
        ParamsError: it has no such revision.
        ArtifactError: it is no DVC repository.
    """
    place = settings.work / name
    remove(place)
    folder = place / "repository"
    try:
        place.mkdir(parents=True, exist_ok=True)
        git(place, "clone", "--quiet", "--no-checkout", settings.repository, str(folder))
        git(folder, "checkout", "--quiet", "--detach", commit_of(folder, revision))
        if not (folder / ".dvc").is_dir():
            raise ArtifactError(
                f"{settings.repository} at {revision} has no .dvc folder: run `dvc init` there,"
                " and commit."
            )
        cache = settings.dvc_cache or folder / ".dvc" / "cache"
        text = _CONFIG.format(site=place / "site", cache=cache, remote=settings.dvc_remote)
        (folder / ".dvc" / "config.local").write_text(text, encoding="utf-8")
        write_files(folder, files)
        yield Clone(folder, settings.state or place / "state")
    finally:
        shutil.rmtree(place, ignore_errors=True)
