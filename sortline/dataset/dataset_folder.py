"""The dataset's folder: what lies in it, and how what is kept gets into a new version of it.

It is linked, never written to: DVC's cache may be behind every file.
"""

import csv
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from sortline.core.params import SPLITS, Split
from sortline.dataset.layout import is_hidden

CORE = "core.csv"


def dataset_files(data: Path) -> list[tuple[Path, Split, str]]:
    """Files of a dataset with split and class, sorted; what is hidden is not counted."""
    found = []
    for split in SPLITS:
        for path in sorted((data / split).glob("*/*")):
            if path.is_file() and not is_hidden(path.relative_to(data).as_posix()):
                found.append((path, split, path.parent.name))
    return found


def write_core(target: Path, paths: Iterable[str]) -> None:
    """Write the list of test images that evaluation always reports apart."""
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([["path"], *([path] for path in sorted(paths))])


def link_tree(source: Path, target: Path) -> None:
    """Repeat a tree in an existing folder by hard links; symbolic links stay what they are."""
    for folder, folders, names in os.walk(source):
        inner = target / Path(folder).relative_to(source)
        for name in list(folders):
            if (Path(folder) / name).is_symlink():
                names.append(name)
                folders.remove(name)
            else:
                (inner / name).mkdir()
        for name in names:
            _link(Path(folder) / name, inner / name)


def _link(source: Path, target: Path) -> None:
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    try:
        target.hardlink_to(source)
    except OSError:  # Another file system, too many links, or a kernel that protects them.
        shutil.copy2(source, target)
