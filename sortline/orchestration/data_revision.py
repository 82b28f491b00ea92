"""Which dataset: as data.dvc pins it, or as somebody has announced since."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from sortline.core.errors import DataError, ParamsError, UnreachableError
from sortline.orchestration.calls import git
from sortline.orchestration.run_store import RunStore

CURRENT = "data/current.json"
_MD5 = re.compile(r"[0-9a-f]{32}\.dir")


@dataclass(frozen=True)
class Data:
    """A dataset's revision: its MD5, as DVC counts it, and the text of its data.dvc."""

    digest: str
    text: str


def parse(text: str, source: str) -> Data:
    """What a data.dvc says.

    Raises:
        DataError: it is not one.
    """
    try:
        digest = str(yaml.safe_load(text)["outs"][0]["md5"])
    except (yaml.YAMLError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"{source} pins no dataset ({error!r}). Run `dvc add data`.") from error
    return Data(digest, text)


def pinned(path: Path) -> Data:
    """The dataset that a data.dvc pins.

    Raises:
        DataError: there is no such file, or it pins none.
    """
    if not path.is_file():
        raise DataError(f"There is no {path.name}. Run `dvc add data`, and commit data.dvc.")
    return parse(path.read_text(encoding="utf-8"), path.name)


def _named(folder: Path, revision: str) -> Data:
    if _MD5.fullmatch(revision):
        text = f"outs:\n- md5: {revision}\n  hash: md5\n  path: data\n"
        return Data(revision, text)
    for name in (f"origin/{revision}", revision):
        try:
            return parse(git(folder, "show", f"{name}:data.dvc"), f"data.dvc of {revision}")
        except UnreachableError:
            continue
    raise ParamsError(
        f"{revision!r} is no data revision. Give a git revision that has a data.dvc, or the MD5"
        " that one holds (32 hexadecimal digits and .dir)."
    )


def choose(folder: Path, revision: str, store: RunStore) -> Data:
    """The dataset of a run.

    What was announced counts only as long as git still pins what it replaces: whoever commits
    another data.dvc later is the newer voice.

    Args:
        folder: a clone.
        revision: see `plan.Request.data`; "" for the newest.
        store: where `sortline data-updated` announces.

    Raises:
        ParamsError: there is no such revision.
        DataError: git pins no dataset.
    """
    if revision:
        return _named(folder, revision)
    own = pinned(folder / "data.dvc")
    announced = store.read(CURRENT)
    if announced and announced["replaces"] == own.digest:
        return parse(announced["data_dvc"], f"{store.address}/{CURRENT}")
    return own
