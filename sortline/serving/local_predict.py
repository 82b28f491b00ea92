"""Classify files with an exported model in this process, a few at a time.

What is wrong with a file is said from its header where that can be told, before the model is asked.
An image with an EXIF orientation is turned as `sortline ingest` turns it: the graph ignores it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sortline.client.batching import batched
from sortline.core.errors import ArtifactError, ImageError
from sortline.core.quiet import silenced_stderr
from sortline.dataset.layout import readable
from sortline.images.decode import decode_bytes, read_image_file
from sortline.images.header import detect_format, read_header
from sortline.images.orientation import turned_upright
from sortline.model.local_model import Served, load_model
from sortline.serving.predict import (
    DECIMALS,
    GROUP_FILES,
    Answer,
    count_files,
    find_files,
    label_width,
    print_answers,
)

_BATCH_BYTES = 64 << 20
_MAGIC_BYTES = 64


def read_upright(path: Path, max_pixels: int) -> bytes:
    """A file's bytes, turned and encoded anew if its EXIF orientation asks for it.

    Raises:
        ImageError: it cannot be read, or is not an image that we accept.
    """
    data = _read(path, max_pixels)
    header = read_header(data, max_pixels=max_pixels, path=str(path))
    return data if header.orientation == 1 else turned_upright(data, header)


def _read(path: Path, max_pixels: int) -> bytes:
    # A folder may hold anything: a video is refused by its first bytes, not read into memory.
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


def classify(model: Served, files: Iterable[Path]) -> Iterator[Answer]:
    """Answers to files, in their order; 32 files or 64 MB of them are in memory at a time."""
    max_pixels = model.contract.preprocessing.max_pixels
    for batch in batched(
        _items(files, max_pixels),
        lambda item: len(item.image),
        max_size=_BATCH_BYTES,
        max_items=GROUP_FILES,
    ):
        sent = [item for item in batch if item.refusal is None]
        answers = iter(_ask(model, sent, max_pixels))
        for item in batch:
            yield (
                next(answers) if item.refusal is None else _refused(model, item.path, item.refusal)
            )


def _ask(model: Served, items: Sequence[_Item], max_pixels: int) -> Iterator[Answer]:
    with silenced_stderr():  # libjpeg prints what it thinks of damaged files.
        predictions = model.predict_bytes([item.image for item in items])
    for at, item in enumerate(items):
        if not predictions.valid[at]:
            yield _refused(model, item.path, _why(item, max_pixels))
            continue
        rounded = [round(float(p), DECIMALS) for p in predictions.probabilities[at]]
        yield Answer(
            readable(str(item.path)),
            str(predictions.label[at]),
            rounded[int(predictions.class_id[at])],
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
    total = count_files(paths)
    model = _load(saved_model)
    width = label_width(model.labels)
    return print_answers(classify(model, find_files(paths)), total, as_json=as_json, width=width)
