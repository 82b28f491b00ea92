"""`sortline labels apply`: what a person decided about suspects becomes the next data revision.

Reads the reviewed suspects.csv: `decision` is empty or `keep`, `remove`, or the class that the
image is moved to. Writes `data/`, whole or not at all: built beside it, of links, and exchanged.
Refuses: a file that is not the one audited, a class that does not exist, a class left empty.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from sortline.core.errors import DataError
from sortline.core.files import atomic_dir, read_verified, recover_dir, remove
from sortline.dataset.layout import (
    CORE,
    dataset_files,
    free_name,
    link_tree,
    read_core,
    write_core,
)

KEEP, REMOVE = "keep", "remove"
_WANTED = ("path", "sha256", "decision")


@dataclass(frozen=True)
class Change:
    """One image that leaves its place.

    Attributes:
        path: of the file now, such as `data/train/glass/a.jpg`.
        sha256: of its bytes.
        label: the class that it moves to; None: it is removed.
    """

    path: str
    sha256: str
    label: str | None


@dataclass(frozen=True)
class Applied:
    """How many images were moved, removed, and looked at but left where they are."""

    moved: int
    removed: int
    kept: int


def read_decisions(reviewed: Path) -> tuple[list[Change], int]:
    """Changes that a reviewed CSV asks for, and the number of images that it keeps.

    Raises:
        DataError: it is no such CSV, or names an image twice.
    """
    try:
        table = pd.read_csv(reviewed, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{reviewed} cannot be read as CSV: {error}") from error
    if missing := [name for name in _WANTED if name not in table]:
        raise DataError(
            f"{reviewed} has no column {', '.join(missing)}. Review the suspects.csv that"
            " `sortline labels audit` wrote: fill its column decision."
        )
    if doubles := table["path"][table["path"].duplicated()].tolist():
        raise DataError(f"{reviewed} names {doubles[0]} twice. Decide once about each image.")
    changes, kept = [], 0
    for path, sha256, cell in table[list(_WANTED)].itertuples(index=False):
        decision = cell.strip()
        if decision in ("", KEEP):
            kept += decision == KEEP
            continue
        changes.append(Change(path, sha256, None if decision == REMOVE else decision))
    return changes, kept


def _check(change: Change, data: Path, labels: set[str]) -> None:
    parts = PurePosixPath(change.path).parts
    if len(parts) != 4 or parts[0] != data.name or ".." in parts:
        raise DataError(f"{change.path} is no path of an image in {data.name}/. Audit again.")
    if change.label is not None and change.label not in labels:
        raise DataError(
            f"{change.path} is to become {change.label!r}, which is no class of the dataset. Write"
            f" {KEEP}, {REMOVE}, or one of: {', '.join(sorted(labels))}."
        )
    file = data.parent / change.path
    read_verified(file, change.sha256, was="audited", command="sortline labels audit")


def _moved(change: Change, new: Path) -> str | None:
    """Carry out a change in the new folder; the image's new path, None when it is removed."""
    data, split, label, name = PurePosixPath(change.path).parts
    file = new / split / label / name
    if change.label is None:
        remove(file)
        return None
    if change.label == label:
        return change.path
    folder = new / split / change.label
    folder.mkdir(exist_ok=True)
    names = {path.name.casefold() for path in folder.iterdir()}
    target = folder / free_name(name, change.sha256, names)
    file.rename(target)
    return f"{data}/{split}/{change.label}/{target.name}"


def apply(reviewed: Path, data: Path) -> Applied:
    """Make the next revision of `data` as a reviewed CSV says; nothing changes when it is refused.

    Raises:
        DataError: see the module's docstring.
    """
    recover_dir(data)
    changes, kept = read_decisions(reviewed)
    labels = {label for _, _, label in dataset_files(data)}
    for change in changes:
        _check(change, data, labels)
    if changes:
        with atomic_dir(data) as new:
            link_tree(data, new)
            moves = {change.path: _moved(change, new) for change in changes}
            if (core := new / CORE).is_file():  # It follows its images; what is removed leaves it.
                after = [moves.get(path, path) for path in read_core(core)]
                remove(core)  # It is linked: to write it would change the old revision.
                write_core(core, [path for path in after if path is not None])
            if emptied := sorted(labels - {label for _, _, label in dataset_files(new)}):
                raise DataError(
                    f"Nothing would be left of the class {', '.join(emptied)}. Keep some of its"
                    " images, or remove its folders by hand."
                )
    removed = sum(change.label is None for change in changes)
    return Applied(len(changes) - removed, removed, kept)
