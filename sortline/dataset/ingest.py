"""`sortline ingest`: a source of images becomes a dataset, or joins one.

Reads a folder, an archive or a bucket. Writes `data/{train,val,test}/<class>/<image>`,
`data/core.csv` (the first test split: a core that never changes), and beside `data/` two lists,
`artifacts/ingest/quarantine.csv` and `duplicates.csv`. Refuses a source without two classes, a
class that has no image in some split, and to write over a dataset. Whatever stops it, even SIGKILL
or a full disk, leaves `data/` as it was.
"""

import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from sortline.core.errors import DataError
from sortline.core.files import atomic_dir, exclusive, recover_dir, scratch_dir
from sortline.core.params import SPLITS, load_params
from sortline.core.paths import Paths
from sortline.core.storage import is_remote
from sortline.dataset.duplicates import near_pairs
from sortline.dataset.ingest_report import (
    Ingested,
    Key,
    count_reasons,
    print_result,
    write_reports,
)
from sortline.dataset.intake import (
    Duplicate,
    Picture,
    Refusal,
    check_files,
    drop_exact,
    give_names,
    read_dataset,
    sort_files,
)
from sortline.dataset.layout import (
    CORE,
    Place,
    clean_name,
    dataset_files,
    link_tree,
    write_core,
)
from sortline.dataset.settings import IngestParams
from sortline.dataset.sources import SourceFile, read_source
from sortline.dataset.splits import Assignment, Item, Pair, assign
from sortline.dataset.threads import map_in_threads


@dataclass(frozen=True)
class Settings:
    """What decides where images go.

    Attributes:
        seed: of the split.
        max_pixels: larger images are refused.
        near_duplicate_bits: perceptual hashes this close are the same picture.
    """

    seed: int
    max_pixels: int
    near_duplicate_bits: int


@dataclass(frozen=True)
class _Plan:
    labels: set[str]
    pictures: list[Picture]
    fixed: list[Picture]
    refused: list[Refusal]
    duplicates: list[Duplicate]


def ingest(source: str, data: Path, settings: Settings, *, add: bool = False) -> Ingested:
    """Make a dataset of a source, or (`add`) take its images into the one that is there.

    Raises:
        DataError: the source or the dataset cannot be used; `data` is as it was.
        BusyError: another ingest into the same place is running.
    """
    target = data.resolve()
    with exclusive(target.parent / ".sortline" / "ingest.lock", "sortline ingest"):
        recover_dir(target)
        _check_arguments(source, data, add)
        with scratch_dir(target, ".fetched") as staging:
            files = read_source(source, staging)
            plan = _plan(source, files, target if add else None, settings, staging)
            reports = target.parent / "artifacts" / "ingest"
            write_reports(reports, plan.refused, plan.duplicates)
            result = _summary(data, reports, len(files), plan)
            _check_complete(result, plan.labels)
            if plan.pictures:
                _build(target, plan, staging, add)
    return result


def command(source: str, data: Path, *, add: bool, seed: int | None) -> None:
    """`sortline ingest`: settings from params.yaml, tables on the screen."""
    params = load_params(IngestParams, Paths(Path.cwd()).params)
    settings = Settings(
        seed=params.seed if seed is None else seed,
        max_pixels=params.images.max_pixels,
        near_duplicate_bits=params.validate_.near_duplicate_bits,
    )
    print_result(ingest(source, data, settings, add=add), Console())


def _check_arguments(source: str, data: Path, add: bool) -> None:
    target = data.resolve()
    if not is_remote(source):
        path = Path(source).resolve()
        if path == target or target in path.parents or path in target.parents:
            raise DataError(
                f"{source} and {data} overlap. Move the images into a folder of their own, beside"
                f" {data}, and ingest that."
            )
    if target.exists() and not target.is_dir():
        raise DataError(f"{data} is a file. Name a folder with --data, or remove it.")
    filled = target.is_dir() and any(target.iterdir())
    if add and not dataset_files(target):
        raise DataError(
            f"{data} holds no images in train, val or test: there is nothing to add to. Run"
            f" `sortline ingest {source}` without --add."
        )
    if filled and not add:
        raise DataError(
            f"{data} is not empty, and nothing is written over. To add to it: `sortline ingest"
            f" --add {source}`. To start anew, move it away first (`mv {data} {data}.old`)."
        )


def _plan(
    source: str,
    files: Sequence[SourceFile],
    target: Path | None,
    settings: Settings,
    staging: Path,
) -> _Plan:
    placed, strays = sort_files(files)
    existing = {clean_name(label): label for _, _, label in dataset_files(target)} if target else {}
    # A dataset that somebody made by hand may hold names that are not in the normal form.
    placed = [
        (file, replace(place, label=existing.get(place.label, place.label)))
        for file, place in placed
    ]
    _check_classes(source, files, placed, existing)
    fixed = read_dataset(target, max_pixels=settings.max_pixels) if target else []
    checked, refused = check_files(placed, max_pixels=settings.max_pixels, staging=staging)
    unique, two_labels, duplicates = drop_exact([*fixed, *checked])
    placed_pictures, near = _place(unique, settings)
    named = [one for one in give_names([*fixed, *placed_pictures]) if not one.fixed]
    labels = {place.label for _, place in placed}
    return _Plan(labels, named, fixed, strays + refused + two_labels, duplicates + near)


def _check_classes(
    source: str,
    files: Sequence[SourceFile],
    placed: Sequence[tuple[SourceFile, Place]],
    existing: dict[str, str],
) -> None:
    labels = {place.label for _, place in placed}
    if not files:
        raise DataError(f"{source} is empty. It has to hold <class>/<image>.")
    if not labels:
        raise DataError(
            f"{source} has no class folders: {len(files)} files, the first is {files[0].path!r}."
            " Give the folder that holds <class>/<image> or train|val|test/<class>/<image>."
        )
    if len(labels | set(existing)) < 2:
        raise DataError(
            f"{source} has one class only, {next(iter(labels))!r}. A classifier needs two: give"
            " the folder above the class folders."
        )


def _place(unique: Sequence[Picture], settings: Settings) -> tuple[list[Picture], list[Duplicate]]:
    """Decide the split of every new image; returns those kept, and all near duplicates."""
    hashes = [picture.checked.perceptual_hash for picture in unique]
    pairs = near_pairs(hashes, settings.near_duplicate_bits) if hashes else []
    items = [Item(one.checked.sha256, one.label, one.split, one.fixed) for one in unique]
    assignment = assign(items, pairs, settings.seed)
    pictures = [
        Picture(one.path, one.label, split, one.name, one.checked)
        for one, split in zip(unique, assignment.splits, strict=True)
        if split is not None and not one.fixed
    ]
    return pictures, _near_duplicates(unique, pairs, assignment)


def _near_duplicates(
    unique: Sequence[Picture], pairs: Sequence[Pair], assignment: Assignment
) -> list[Duplicate]:
    """One row for each new image that is like another: the one in the dataset, or the first."""
    like: dict[int, list[int]] = defaultdict(list)
    for left, right in pairs:
        like[right].append(left)
        if unique[right].fixed:
            like[left].append(right)
    rows = []
    for index in sorted({*like, *assignment.left_out}):
        split = assignment.splits[index]
        others = [other for other in like[index] if assignment.splits[other] == split]
        other = assignment.left_out.get(index, others[0] if others else None)
        if not unique[index].fixed and other is not None:
            rows.append(_near_row(unique[index], unique[other], split or ""))
    return rows


def _near_row(one: Picture, other: Picture, split: str) -> Duplicate:
    left, right = (int(picture.checked.perceptual_hash, 16) for picture in (one, other))
    bits = (left ^ right).bit_count()
    return Duplicate(one.path, one.label, "near", other.path, other.label, bits, split)


def _summary(data: Path, reports: Path, found: int, plan: _Plan) -> Ingested:
    near = [one for one in plan.duplicates if one.kind == "near" and one.split]
    return Ingested(
        data=data,
        reports=_as_seen(reports),
        found=found,
        kept=len(plan.pictures),
        turned=sum(picture.checked.turned for picture in plan.pictures),
        refused=count_reasons(plan.refused),
        exact=sum(one.kind == "exact" for one in plan.duplicates),
        crossing=sum(one.kind == "near" and not one.split for one in plan.duplicates),
        near=len(near),
        near_two_labels=sum(one.label != one.like_label for one in near),
        before=_counts(plan.fixed),
        new=_counts(plan.pictures),
    )


def _as_seen(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _counts(pictures: Sequence[Picture]) -> dict[Key, int]:
    return dict(Counter((one.label, one.split) for one in pictures if one.split is not None))


def _check_complete(result: Ingested, labels: set[str]) -> None:
    for label in sorted(labels | set(result.labels)):
        empty = [split for split in SPLITS if not result.count(label, split)]
        if not empty:
            continue
        total = sum(result.count(label, split) for split in SPLITS)
        raise DataError(
            f"Class {label!r} has {total} usable images, and none for {', '.join(empty)}. Every"
            " class needs one in train, val and test that is like none in the others. Add images"
            " or remove the class. If the source has train, val and test folders, each class has"
            f" to be in all three. What was refused: {result.reports}/quarantine.csv and"
            " duplicates.csv."
        )


def _build(target: Path, plan: _Plan, staging: Path, add: bool) -> None:
    with atomic_dir(target) as new:
        if add:
            link_tree(target, new)
        for folder in {(one.split, one.label) for one in plan.pictures}:
            new.joinpath(*(part for part in folder if part)).mkdir(parents=True, exist_ok=True)

        def put(one: Picture) -> None:
            goal = new / str(one.split) / one.label / one.name
            if one.checked.local.is_relative_to(staging):
                one.checked.local.rename(goal)
            else:
                shutil.copyfile(one.checked.local, goal)

        map_in_threads(put, plan.pictures, what="writing")
        if not (new / CORE).exists():
            core = [one for one in plan.fixed or plan.pictures if one.split == "test"]
            write_core(new / CORE, [f"{target.name}/test/{one.label}/{one.name}" for one in core])
