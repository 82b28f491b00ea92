"""Throw-away clones: two tasks never share a working tree, so DVC's lock never collides."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from sortline.core.errors import ArtifactError, ParamsError, UnreachableError
from sortline.core.files import remove
from sortline.core.git import git
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
    """A clone of the repository, and where its state is."""

    folder: Path
    state: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a command in it needs besides the process's own variables."""
        return {"SORTLINE_STATE_DIR": str(self.state)}


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


def _configure(settings: Settings, clone: Clone) -> None:
    cache = settings.dvc_cache or clone.folder / ".dvc" / "cache"
    site = clone.folder.parent / "site"
    text = _CONFIG.format(site=site, cache=cache, remote=settings.dvc_remote)
    (clone.folder / ".dvc" / "config.local").write_text(text, encoding="utf-8")


def write_files(folder: Path, files: Mapping[str, str | None]) -> None:
    """Put small files, by path, into a clone; None removes one."""
    for name, text in files.items():
        path = folder / name
        if text is None:
            remove(path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def write_lock(folder: Path, stages: Mapping[str, Any]) -> None:
    """Write a dvc.lock that holds exactly these stages, the same bytes for the same stages."""
    with (folder / "dvc.lock").open("w", encoding="utf-8") as file:
        YAML().dump({"schema": "2.0", "stages": dict(stages)}, file)


def read_lock(folder: Path) -> dict[str, Any]:
    """The stages of dvc.lock; none when there is no such file."""
    path = folder / "dvc.lock"
    if not path.is_file():
        return {}
    stages: dict[str, Any] = YAML(typ="safe").load(path)["stages"]
    return stages


def _fetch_at(settings: Settings, folder: Path, revision: str) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    git(folder.parent, "clone", "--quiet", "--no-checkout", settings.repository, str(folder))
    git(folder, "checkout", "--quiet", "--detach", commit_of(folder, revision))


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
    clone = Clone(place / "repository", settings.state or place / "state")
    try:
        _fetch_at(settings, clone.folder, revision)
        if not (clone.folder / ".dvc").is_dir():
            raise ArtifactError(
                f"{settings.repository} at {revision} has no .dvc folder: run `dvc init` there,"
                " and commit."
            )
        _configure(settings, clone)
        write_files(clone.folder, files)
        yield clone
    finally:
        shutil.rmtree(place, ignore_errors=True)
