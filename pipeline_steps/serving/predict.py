"""`sortline predict`: classify files or folders of images with an exported model, a few at a time.

What is wrong with a file is said from its header where that can be told, before the model is asked.
An image with an EXIF orientation is turned as `sortline ingest` turns it: the graph ignores it.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from pipeline_steps.errors import ArtifactError, DataError, ImageError
from pipeline_steps.images.checking import encode, upright
from pipeline_steps.images.decode import decode_bytes, read_image_file
from pipeline_steps.images.header import detect_format, read_header
from pipeline_steps.images.layout import readable
from pipeline_steps.quiet import silenced_stderr
from pipeline_steps.serving.local_model import Served, load_model

_BATCH_FILES = 32
_BATCH_BYTES = 64 << 20
_MAGIC_BYTES = 64
_DECIMALS = 6
_INVALID = "invalid"


@dataclass(frozen=True)
class Answer:
    """What is said about one file; `reason` is empty when it is valid."""

    path: str
    label: str
    probability: float
    probabilities: dict[str, float]
    valid: bool
    reason: str = ""

    def as_json(self) -> str:
        """One line; `reason` only where there is one."""
        fields = dict(vars(self))
        if self.valid:
            del fields["reason"]
        return json.dumps(fields, ensure_ascii=False)

    def as_row(self, label_width: int) -> str:
        """One line of a table: label, probability, path (last, as it may be of any length)."""
        path = self.path if self.path.isprintable() else repr(self.path)
        if not self.valid:
            return f"{_INVALID:<{label_width}}  {'-':>7}  {path}: {self.reason}"
        return f"{self.label:<{label_width}}  {self.probability:>7.1%}  {path}"


def find_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files among `paths` and below the folders among them, sorted; hidden ones are skipped."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, below, names in os.walk(path, onerror=_give_up):
            below[:] = sorted(name for name in below if not name.startswith("."))
            found = (Path(folder, name) for name in sorted(names) if not name.startswith("."))
            # Opening a pipe would wait for ever; a link to nowhere is worth a line.
            yield from (file for file in found if file.is_file() or file.is_symlink())


def _give_up(error: OSError) -> NoReturn:
    raise ArtifactError(f"{error.filename} cannot be listed: {error.strerror}.") from error


def require_paths(paths: Sequence[Path]) -> None:
    """Check that all are there, before any work.

    Raises:
        DataError: one is missing.
    """
    if missing := [str(path) for path in paths if not path.exists()]:
        raise DataError(f"There is no {', '.join(map(readable, missing))}. Nothing was classified.")


def read_upright(path: Path, max_pixels: int) -> bytes:
    """A file's bytes, turned and encoded anew if its EXIF orientation asks for it.

    Raises:
        ImageError: it cannot be read, or is not an image that we accept.
    """
    data = _read(path, max_pixels)
    header = read_header(data, max_pixels=max_pixels, path=str(path))
    if header.orientation == 1:
        return data
    pixels = decode_bytes(data, max_pixels=max_pixels, path=str(path))
    return encode(upright(pixels, header.orientation), header.format)


def _read(path: Path, max_pixels: int) -> bytes:
    # A folder may hold anything: a film is refused by its first bytes, not read into memory.
    try:
        with path.open("rb") as file:
            start = file.read(_MAGIC_BYTES)
    except OSError as error:
        raise ImageError(str(path), "", "unreadable", error.strerror or str(error)) from error
    if detect_format(start) is None:
        read_header(start, max_pixels=max_pixels, path=str(path))
    return read_image_file(path)


@dataclass(frozen=True)
class _Item:
    path: Path
    image: bytes
    refusal: ImageError | None


def _items(files: Iterable[Path], max_pixels: int) -> Iterator[_Item]:
    for path in files:
        try:
            yield _Item(path, read_upright(path, max_pixels), None)
        except ImageError as refusal:
            yield _Item(path, b"", refusal)


def _batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    batch: list[_Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == _BATCH_FILES or sum(len(each.image) for each in batch) >= _BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def classify(model: Served, files: Iterable[Path]) -> Iterator[Answer]:
    """Answers to files, in their order; 32 files or 64 MB of them are in memory at a time."""
    max_pixels = model.contract.preprocessing.max_pixels
    for batch in _batches(_items(files, max_pixels)):
        sent = [item for item in batch if item.refusal is None]
        answers = iter(_ask(model, sent, max_pixels))
        for item in batch:
            yield (
                next(answers) if item.refusal is None else _refused(model, item.path, item.refusal)
            )


def _ask(model: Served, items: Sequence[_Item], max_pixels: int) -> Iterator[Answer]:
    with silenced_stderr():  # libjpeg prints what it thinks of damaged files.
        found = model.predict_bytes([item.image for item in items])
    for at, item in enumerate(items):
        if not found.valid[at]:
            yield _refused(model, item.path, _why(item, max_pixels))
            continue
        rounded = [round(float(p), _DECIMALS) for p in found.probabilities[at]]
        yield Answer(
            readable(str(item.path)),
            str(found.label[at]),
            rounded[int(found.class_id[at])],
            dict(zip(model.labels, rounded, strict=True)),
            valid=True,
        )


def _why(item: _Item, max_pixels: int) -> ImageError:
    try:
        with silenced_stderr():
            decode_bytes(item.image, max_pixels=max_pixels, path=str(item.path))
    except ImageError as refusal:
        return refusal
    return ImageError(str(item.path), "", "undecodable", "the model refuses it")


def _refused(model: Served, path: Path, refusal: ImageError) -> Answer:
    detail = f" ({refusal.detail})" if refusal.detail else ""
    zeros = dict.fromkeys(model.labels, 0.0)
    return Answer(
        readable(str(path)), "", 0.0, zeros, valid=False, reason=f"{refusal.reason}{detail}"
    )


def _load(folder: Path) -> Served:
    if not folder.exists():
        raise ArtifactError(
            f"There is no exported model in {folder}. Make one with `sortline run`, or name another"
            " with --saved-model: `sortline run --recipe demo` leaves one in"
            " runs/demo/artifacts/saved_model."
        )
    return load_model(folder)


def command(paths: Sequence[Path], saved_model: Path, *, as_json: bool) -> int:
    """Print one line a file; returns the number of invalid ones.

    Raises:
        DataError: a path is missing, or there is no file in them.
        ArtifactError: the model cannot be used.
    """
    require_paths(paths)
    total = sum(1 for _ in find_files(paths))
    if not total:
        raise DataError(f"There is no file in {', '.join(readable(str(p)) for p in paths)}.")
    model = _load(saved_model)
    invalid = 0
    width = max(len(name) for name in [*model.labels, _INVALID])
    answers = _with_progress(classify(model, find_files(paths)), total)
    for answer in answers:
        print(answer.as_json() if as_json else answer.as_row(width), flush=True)
        invalid += not answer.valid
    return invalid


def _with_progress(answers: Iterator[Answer], total: int) -> Any:
    # On a terminal the lines themselves are the progress.
    silent = sys.stdout.isatty() or not sys.stderr.isatty()
    return tqdm(answers, total=total, unit="img", desc="predict", disable=silent)
