"""From the files of a source to images that can be placed: checked, named, exact duplicates gone.

Every file of the source ends in one of three lists: images, refusals (with one reason each) and
duplicates. None is lost without a line.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sortline.core.errors import DataError, ImageError
from sortline.core.params import Split
from sortline.dataset.layout import (
    Place,
    Stray,
    dataset_files,
    free_name,
    image_name,
    place_all,
)
from sortline.dataset.sources import SourceFile
from sortline.dataset.splits import RANKS
from sortline.dataset.threads import map_in_threads

if TYPE_CHECKING:
    from sortline.dataset.checking import Checked

TWO_LABELS = "two labels"


@dataclass(frozen=True)
class Picture:
    """An accepted image: of the source, or (`fixed`) one that is in the dataset already."""

    path: str
    label: str
    split: Split | None
    name: str
    checked: "Checked"
    fixed: bool = False


@dataclass(frozen=True)
class Refusal:
    """A file that is not taken: one row of quarantine.csv."""

    path: str
    sha256: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Duplicate:
    """An image that is like another one: a row of duplicates.csv; `split` is "" when left out."""

    path: str
    label: str
    kind: str
    like: str
    like_label: str
    bits: int
    split: str


def sort_files(files: Sequence[SourceFile]) -> tuple[list[tuple[SourceFile, Place]], list[Refusal]]:
    """Tell the files of class folders from strays, by their paths alone."""
    placed, strays = [], []
    for file, place in zip(files, place_all([file.path for file in files]), strict=True):
        if file.reason:
            strays.append(Refusal(file.path, "", file.reason, file.detail))
        elif isinstance(place, Stray):
            strays.append(Refusal(file.path, "", place.reason, place.detail))
        else:
            placed.append((file, place))
    return placed, strays


def check_files(
    placed: Sequence[tuple[SourceFile, Place]], *, max_pixels: int, staging: Path
) -> tuple[list[Picture], list[Refusal]]:
    """Decode every file, in threads."""
    from sortline.dataset.checking import check_image

    def check(job: tuple[SourceFile, Place]) -> Picture | Refusal:
        file, place = job
        if file.local is None:
            return Refusal(file.path, "", "unreadable", "it was not fetched")
        try:
            checked = check_image(file.local, max_pixels=max_pixels, staging=staging)
        except ImageError as error:
            return Refusal(file.path, error.sha256, error.reason, error.detail)
        name = image_name(place.name, checked.format)
        return Picture(file.path, place.label, place.split, name, checked)

    done = map_in_threads(check, placed, what="checking")
    pictures = [one for one in done if isinstance(one, Picture)]
    return pictures, [one for one in done if isinstance(one, Refusal)]


def read_dataset(data: Path, *, max_pixels: int) -> list[Picture]:
    """Look at what is in the dataset.

    Raises:
        DataError: one of its files is not an image.
    """
    from sortline.dataset.checking import check_image

    def look(job: tuple[Path, Split, str]) -> Picture:
        path, split, label = job
        shown = f"{data.name}/{path.relative_to(data).as_posix()}"
        try:
            checked = check_image(path, max_pixels=max_pixels, staging=None)
        except ImageError as error:
            raise DataError(
                f"{shown} is in the dataset, but {error.reason} ({error.detail}). Repair it (`dvc"
                " checkout` brings back what was added) or remove it; then ingest again."
            ) from error
        return Picture(shown, label, split, path.name, checked, fixed=True)

    return map_in_threads(look, dataset_files(data), what="looking at what is there")


def _preference(picture: Picture) -> tuple[bool, int, str]:
    rank = RANKS[picture.split] if picture.split else 0
    return (not picture.fixed, -rank, picture.path)


def drop_exact(
    pictures: Sequence[Picture],
) -> tuple[list[Picture], list[Refusal], list[Duplicate]]:
    """Keep one of each content; refuse what is under two classes. Fixed images always stay."""
    by_content: dict[str, list[Picture]] = defaultdict(list)
    for picture in sorted(pictures, key=_preference):
        by_content[picture.checked.sha256].append(picture)
    kept: list[Picture] = []
    refused: list[Refusal] = []
    duplicates: list[Duplicate] = []
    for first, *others in by_content.values():
        fixed = [first] if first.fixed else []
        if any(other.label != first.label for other in others if not other.fixed):
            refused += _two_labels([first, *others])
            kept += fixed
        else:
            kept.append(first)
            duplicates += [
                Duplicate(one.path, one.label, "exact", first.path, first.label, 0, "")
                for one in others
                if not one.fixed
            ]
    return sorted(kept, key=lambda picture: picture.path), refused, duplicates


def _two_labels(same: Sequence[Picture]) -> list[Refusal]:
    return [
        Refusal(
            one.path,
            one.checked.sha256,
            TWO_LABELS,
            "the same bytes are "
            + next(other.path for other in same if other.label != one.label)
            + "; keep it in one class",
        )
        for one in same
        if not one.fixed
    ]


def give_names(pictures: Sequence[Picture]) -> list[Picture]:
    """Make the names of a class's images unique over all splits, also where case is ignored."""
    names: dict[str, set[str]] = defaultdict(set)
    for picture in pictures:
        if picture.fixed:
            names[picture.label].add(picture.name.casefold())
    named = []
    for picture in pictures:
        name = picture.name
        if not picture.fixed:
            name = free_name(name, picture.checked.sha256, names[picture.label])
            names[picture.label].add(name.casefold())
        named.append(replace(picture, name=name))
    return named
