"""A clone of the repository for a dataset that is not the one it pins."""

import shutil
from pathlib import Path

from sortline.core.dvc import dvc_output
from sortline.core.errors import DataError, SortlineError
from sortline.core.files import sha256_json
from sortline.core.git import git
from sortline.core.params import SPLITS
from sortline.dataset.layout import dataset_files, link_tree
from sortline.experiments.records import FOLDER


def _check(data: Path) -> None:
    found = {split for _, split, _ in dataset_files(data)}
    if missing := [split for split in SPLITS if split not in found]:
        raise DataError(
            f"{data} has no images in {', '.join(missing)}. A dataset to compare on is laid out"
            " {train,val,test}/<class>/<image>: make one with `sortline ingest SRC --data DIR` or"
            " `sortline generate --problem NAME --data DIR`."
        )


def _listing(data: Path) -> str:
    rows = [
        [path.relative_to(data).as_posix(), path.stat().st_size, path.stat().st_mtime_ns]
        for path, _, _ in dataset_files(data)
    ]
    return sha256_json(rows)


def workspace_for(root: Path, data: Path) -> Path:
    """A clone of the last commit whose data/ is `data`, with this repository's settings.

    It is made once for a dataset, lies in runs/compare/, and keeps its own experiments; features
    are shared.

    Raises:
        DataError: `data` is no dataset.
        SortlineError: git or DVC failed.
    """
    _check(data)
    folder = root / FOLDER / "data" / _listing(data)[:12]
    if not (folder / ".git").is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        clone = ("clone", "--quiet", "--no-hardlinks", str(root.resolve()), str(folder))
        git(root, *clone, error=SortlineError)
    git(folder, "pull", "--quiet", "--ff-only", error=SortlineError)
    if not (folder / "data").is_dir():
        (folder / "data").mkdir()
        link_tree(data, folder / "data")
        dvc_output(folder, "add", "--quiet", "data")
    shutil.copyfile(root / "params.yaml", folder / "params.yaml")
    shutil.copytree(root / "recipes", folder / "recipes", dirs_exist_ok=True)
    return folder
