"""Which dataset: as data.dvc pins it, or as somebody has announced since."""

import re
from pathlib import Path

from sortline.core.dvc import Pin, parse_pin, read_pin
from sortline.core.errors import ParamsError, UnreachableError
from sortline.core.git import git
from sortline.orchestration.run_store import RunStore

CURRENT = "data/current.json"
_MD5 = re.compile(r"[0-9a-f]{32}\.dir")


def _named(folder: Path, revision: str) -> Pin:
    if _MD5.fullmatch(revision):
        text = f"outs:\n- md5: {revision}\n  hash: md5\n  path: data\n"
        return Pin(revision, text)
    for name in (f"origin/{revision}", revision):
        try:
            return parse_pin(git(folder, "show", f"{name}:data.dvc"), f"data.dvc of {revision}")
        except UnreachableError:
            continue
    raise ParamsError(
        f"{revision!r} is no data revision. Give a git revision that has a data.dvc, or the MD5"
        " that one holds (32 hexadecimal digits and .dir)."
    )


def choose(folder: Path, revision: str, store: RunStore) -> Pin:
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
    own = read_pin(folder / "data.dvc")
    announced = store.read(CURRENT)
    if announced and announced["replaces"] == own.digest:
        return parse_pin(announced["data_dvc"], f"{store.address}/{CURRENT}")
    return own
