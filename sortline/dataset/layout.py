"""Where images lie: in a source, by the paths of its files, and in the dataset's folder.

A source holds `<class>/<image>` or `<split>/<class>/<image>`, inside any number of wrapping folders
that hold nothing else. What lies elsewhere is a stray: listed with a reason, never guessed at.
Names are made safe to keep. The dataset's folder is linked into a new version of it, and never
written to: DVC's cache may be behind every file.
"""

import csv
import os
import shutil
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sortline.core.errors import DataError
from sortline.core.params import SPLITS, Split

CORE = "core.csv"
"""The test images that evaluation always reports apart: a list in the dataset's folder."""
SUFFIXES: Mapping[str, str] = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp"})
_SPLIT_NAMES: Mapping[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
_HIDDEN_FOLDERS = frozenset({"__MACOSX"})  # macOS puts its own files there when it makes a zip.
_MAX_STEM_BYTES = 180  # File systems allow 255 a name; a suffix and a hash are added to it.


@dataclass(frozen=True)
class Place:
    """Where an image belongs: `split` is None unless the source says it."""

    label: str
    split: Split | None
    name: str


@dataclass(frozen=True)
class Stray:
    """A file that is in no class folder."""

    reason: str
    detail: str


def is_hidden(path: str) -> bool:
    """Whether any part of a '/'-separated path is hidden, as `.DS_Store` or `__MACOSX/` is."""
    return any(part.startswith(".") or part in _HIDDEN_FOLDERS for part in path.split("/") if part)


def readable(name: str) -> str:
    """A name as text that can be written as UTF-8: bytes that are not become '�'."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def clean_name(name: str) -> str:
    """A name that is one safe part of a path everywhere: NFC, no control characters, not hidden."""
    normal = unicodedata.normalize("NFC", readable(name))
    safe = "".join("_" if ch in "/\\\ufffd" or not ch.isprintable() else ch for ch in normal)
    safe = safe.strip()
    return "_" + safe.lstrip(".") if safe.startswith(".") or not safe else safe


def image_name(original: str, image_format: str) -> str:
    """The name under which an image is kept: its own stem, and the suffix of what it really is."""
    name = clean_name(original)
    path = PurePosixPath(name)
    stem = path.stem if path.suffix.lower() in IMAGE_SUFFIXES else name
    while len(stem.encode()) > _MAX_STEM_BYTES:
        stem = stem[:-1]
    return stem.rstrip() + SUFFIXES[image_format]


def free_name(name: str, sha256: str, taken: Iterable[str]) -> str:
    """`name`, or with a part of the content's hash when it is taken, whatever the letter case."""
    used = taken if isinstance(taken, set | frozenset) else set(taken)
    path = PurePosixPath(name)
    for digits in (0, 8, 16, 64):
        candidate = f"{path.stem}-{sha256[:digits]}{path.suffix}" if digits else name
        if candidate.casefold() not in used:
            return candidate
    raise ValueError(f"{name}: the same bytes were named before")  # Callers keep each hash once.


def _wrapping_depth(paths: Sequence[tuple[str, ...]]) -> int:
    depth = 0
    while True:
        inner = [path[depth:] for path in paths if len(path) - depth >= 2]
        tops = {path[0] for path in inner}
        wraps = len(tops) == 1 and not tops & _splits_in(tops)
        if not wraps or not any(len(path) >= 3 for path in inner):
            return depth
        depth += 1


def _splits_in(tops: Iterable[str]) -> set[str]:
    return {top for top in tops if top.casefold() in _SPLIT_NAMES}


def _place(parts: tuple[str, ...], has_splits: bool) -> Place | Stray:
    depth = 3 if has_splits else 2
    if has_splits and parts and not _splits_in(parts[:1]):
        return Stray("not in a split", "the other files are in train, val and test")
    if len(parts) < depth:
        return Stray("not in a class folder", "an image belongs into a folder named as its class")
    if len(parts) > depth:
        return Stray("too deep", "an image lies directly in its class folder")
    split = _SPLIT_NAMES[parts[0].casefold()] if has_splits else None
    return Place(label=clean_name(parts[-2]), split=split, name=parts[-1])


def place_all(paths: Sequence[str]) -> list[Place | Stray]:
    """Read class and split of every '/'-separated path; in the order of `paths`."""
    parts = [tuple(part for part in path.split("/") if part) for path in paths]
    depth = _wrapping_depth(parts)
    inner = [part[depth:] for part in parts]
    has_splits = bool(_splits_in(path[0] for path in inner if len(path) >= 3))
    return [_place(path, has_splits) for path in inner]


def dataset_files(data: Path) -> list[tuple[Path, Split, str]]:
    """Files of a dataset with split and class, sorted; what is hidden is not counted."""
    files = []
    for split in SPLITS:
        for path in sorted((data / split).glob("*/*")):
            if path.is_file() and not is_hidden(path.relative_to(data).as_posix()):
                files.append((path, split, path.parent.name))
    return files


def read_core(file: Path) -> list[str]:
    """Paths of the frozen test images.

    Raises:
        DataError: the list cannot be read.
    """
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            return [row["path"] for row in csv.DictReader(stream)]
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} is not a CSV with a column 'path' ({error}).") from error


def write_core(target: Path, paths: Iterable[str]) -> None:
    """Write the list of the frozen test images."""
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
