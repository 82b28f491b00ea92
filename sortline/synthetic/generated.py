"""Generated datasets: ten classes of drawn waste, and other problems (problems.py).

The same bytes on every x86-64 machine. Writes
`<target>/{train,val,test}/<class>/<class>_<index>.jpg` (of waste, about one in a hundred is a PNG).
A picture depends on the problem, the dataset's seed, its class and its index alone: not on the
other pictures, the order or the number of processes. Refuses to write over anything. A new version
of Pillow may bring a new JPEG encoder: the lock file pins it, and a test holds hashes of a sample.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Final

from PIL import Image
from tqdm import tqdm

from sortline.core.errors import DataError
from sortline.core.files import atomic_dir
from sortline.synthetic.families import WASTE
from sortline.synthetic.problems import problem_named
from sortline.synthetic.scene import photograph

WASTE_PROBLEM: Final = "waste"
"""Name of the problem that `data.dvc` pins."""

CLASSES: Final = tuple(WASTE)
"""The ten classes, in alphabetical order."""

SPLIT_TOTALS: Final[Mapping[str, int]] = MappingProxyType(
    {"train": 15_777, "val": 1_972, "test": 1_974}
)
"""Pictures in each split of the reference dataset."""

REFERENCE_SEED: Final = 42
"""Seed of the dataset that `data.dvc` pins."""

Counts = Mapping[str, Mapping[str, int]]
"""Pictures by split and class."""

# Shares of 121: what households throw away is uneven, four to one here.
_SHARES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "battery": 8,
        "biological": 9,
        "cardboard": 10,
        "clothes": 24,
        "glass": 18,
        "metal": 9,
        "paper": 11,
        "plastic": 14,
        "shoes": 12,
        "trash": 6,
    }
)

# Each split numbers its pictures from here, so that a smaller dataset is a part of the larger one.
_FIRST_INDEX: Final[Mapping[str, int]] = MappingProxyType(
    {"train": 1, "val": 60_001, "test": 80_001}
)
_INDICES_PER_SPLIT: Final = 19_999

_JPEG_QUALITY: Final = 88
_ONE_PNG_IN: Final = 100
_CHUNK: Final = 32


@dataclass(frozen=True)
class GeneratedSummary:
    """What was written.

    Attributes:
        target: the dataset's folder.
        seed: of the dataset.
        counts: pictures by split and class.
        images: pictures in all.
        total_bytes: size of all files.
    """

    target: Path
    seed: int
    counts: Counts
    images: int
    total_bytes: int


@dataclass(frozen=True)
class _Picture:
    path: Path
    problem: str
    seed: int
    name: str
    index: int


def split_counts(total: int) -> dict[str, int]:
    """Divide a number of pictures over the classes by the largest remainder; the sum is exact.

    No class is left empty where there are at least ten pictures.
    """
    whole = sum(_SHARES.values())
    counts = {name: total * share // whole for name, share in _SHARES.items()}
    by_remainder = sorted(CLASSES, key=lambda name: (-(total * _SHARES[name] % whole), name))
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    for name in [name for name in CLASSES if not counts[name] and total >= len(CLASSES)]:
        counts[max(counts, key=lambda other: counts[other])] -= 1
        counts[name] += 1
    return counts


def subset_counts(per_split: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Counts of a smaller dataset, from totals such as `{"train": 200, "val": 40, "test": 40}`."""
    return {split: split_counts(total) for split, total in per_split.items()}


def reference_counts() -> dict[str, dict[str, int]]:
    """Counts of the reference dataset: 15,777 / 1,972 / 1,974."""
    return subset_counts(SPLIT_TOTALS)


def classes_of(problem: str) -> tuple[str, ...]:
    """The classes of a problem, in alphabetical order.

    Raises:
        DataError: there is no such problem.
    """
    return CLASSES if problem == WASTE_PROBLEM else problem_named(problem).classes


def default_counts(problem: str) -> dict[str, dict[str, int]]:
    """Pictures of a problem by split and class, when nothing else is asked for.

    Raises:
        DataError: there is no such problem.
    """
    if problem == WASTE_PROBLEM:
        return reference_counts()
    named = problem_named(problem)
    return {split: dict.fromkeys(named.classes, count) for split, count in named.per_class.items()}


def draw(seed: int, name: str, index: int, problem: str = WASTE_PROBLEM) -> Image.Image:
    """Draw one picture of a class.

    Args:
        seed: of the dataset.
        name: the class.
        index: of the picture within its class, as in its file name.
        problem: whose class it is.

    Returns:
        RGB with sides of 128 to 160 px, of waste; see the drawing modules for the others.
    """
    if problem != WASTE_PROBLEM:
        return problem_named(problem).draw(name, Random(f"{problem}:{seed}:{name}:{index}"))
    rng = Random(f"{seed}:{name}:{index}")
    return photograph(rng.choice(WASTE[name]), rng)


def _suffix(problem: str, seed: int, name: str, index: int) -> str:
    if problem != WASTE_PROBLEM:
        return problem_named(problem).suffix
    return ".png" if Random(f"{seed}:{name}:{index}:format").randrange(_ONE_PNG_IN) == 0 else ".jpg"


def _write(picture: _Picture) -> int:
    image = draw(picture.seed, picture.name, picture.index, picture.problem)
    if picture.path.suffix == ".png":
        # Stored, not deflated: zlib-ng's choices depend on the CPU's features.
        image.save(picture.path, compress_level=0)
    else:
        subsampling = {"subsampling": "4:2:0"} if image.mode == "RGB" else {}
        image.save(picture.path, quality=_JPEG_QUALITY, **subsampling)
    return picture.path.stat().st_size


def _planned(folder: Path, problem: str, seed: int, counts: Counts) -> list[_Picture]:
    return [
        _Picture(
            folder / split / name / f"{name}_{index:05d}{_suffix(problem, seed, name, index)}",
            problem,
            seed,
            name,
            index,
        )
        for split, by_class in counts.items()
        for name, count in by_class.items()
        for index in range(_FIRST_INDEX[split], _FIRST_INDEX[split] + count)
    ]


def _check_counts(counts: Counts, classes: tuple[str, ...]) -> None:
    for split, by_class in counts.items():
        if split not in _FIRST_INDEX:
            raise DataError(f"Split {split!r} is unknown. Use {', '.join(_FIRST_INDEX)}.")
        for name, count in by_class.items():
            if name not in classes:
                raise DataError(f"Class {name!r} cannot be drawn. Use {', '.join(classes)}.")
            if not 0 <= count <= _INDICES_PER_SPLIT:
                raise DataError(
                    f"{count} pictures of {name} in {split} were asked for. "
                    f"Ask for 0 to {_INDICES_PER_SPLIT}."
                )


def _check_target(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(
            f"{target} is not empty, and nothing is written over. "
            "Remove it, or name another folder."
        )


@contextmanager
def _sizes(pictures: list[_Picture], workers: int) -> Iterator[Iterable[int]]:
    if workers == 1:
        yield map(_write, pictures)
        return
    # Spawned, not forked: the caller may have TensorFlow's threads running.
    with get_context("spawn").Pool(workers) as pool:
        yield pool.imap_unordered(_write, pictures, chunksize=_CHUNK)


def generate(
    target: Path,
    *,
    seed: int,
    counts: Counts | None = None,
    workers: int | None = None,
    problem: str = WASTE_PROBLEM,
) -> GeneratedSummary:
    """Draw a dataset into a new folder, whole or not at all.

    Args:
        target: the folder to make; it may exist if it is empty.
        seed: of the dataset; equal seeds give equal bytes.
        counts: pictures by split and class; `default_counts` if None.
        workers: processes; as many as there are CPUs to run on if None.
        problem: `waste`, or one of `problems.PROBLEMS`.

    Raises:
        DataError: the target is not empty, or the problem or the counts name what cannot be drawn.
    """
    planned = counts or default_counts(problem)
    plan = {split: dict(by_class) for split, by_class in planned.items()}
    _check_counts(plan, classes_of(problem))
    _check_target(target)
    total_bytes = 0
    with atomic_dir(target) as partial:
        pictures = _planned(partial, problem, seed, plan)
        for folder in {picture.path.parent for picture in pictures}:
            folder.mkdir(parents=True)
        processes = workers or len(os.sched_getaffinity(0))
        with _sizes(pictures, min(processes, len(pictures) // _CHUNK + 1)) as sizes:
            total_bytes = sum(tqdm(sizes, total=len(pictures), desc="drawing", unit="image"))
    return GeneratedSummary(target, seed, plan, len(pictures), total_bytes)
