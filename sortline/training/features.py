"""Features of the frozen part of a backbone: each one is computed once in its life.

A row is found by the image's bytes and the view drawn of it, in the space (feature_store.py) of the
backbone with its weights, the cut, the engine and the storage type. Deleting the cache costs time
and changes nothing.
"""

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sortline.core.files import sha256_json
from sortline.training import feature_cache
from sortline.training.backbones import BACKBONES
from sortline.training.engine import Forward, describe, open_engine
from sortline.training.feature_store import NETWORK_SUFFIX, Rows, Space, row_keys
from sortline.training.network_settings import Backbone
from sortline.training.phase_settings import Features

Array = npt.NDArray[Any]
_ATTEMPTS = 3

# Raise it when the same weights, cut and pixels give other features than before: rows that were
# computed with another number are not used. A test holds reference rows.
_ARITHMETIC = 1
Pixels = Callable[..., Iterator[Array]]


@dataclass(frozen=True)
class Views:
    """The rows to compute: every image of a split, plain first and then its views.

    Attributes:
        files: path of each row's image, [R].
        sha256: of each row's image, [R].
        vectors: drawn parameters of each row's view, float32 [R, K].
        labels: class of each image, int64 [N].
        first: row of each image's plain view, int64 [N].
        count: rows of each image, int64 [N].
        added: registered augmentations whose fields the vectors have after the built-in ones.
    """

    files: Sequence[Path]
    sha256: Sequence[str]
    vectors: Array
    labels: Array
    first: Array
    count: Array
    added: tuple[str, ...] = ()

    def keys(self) -> Array:
        """The key of each row, S16 [R]."""
        return row_keys(self.sha256, self.vectors, self.added)


def part_of(views: Views, part: int, parts: int) -> Views:
    """Every `parts`-th row from row `part` on: together the parts are all rows, each once."""
    rows = np.arange(part, len(views.files), parts)
    return Views(
        files=views.files[part::parts],
        sha256=views.sha256[part::parts],
        vectors=views.vectors[rows],
        labels=np.zeros(len(rows), "int64"),  # Which class an image is of changes no feature.
        first=np.arange(len(rows)),
        count=np.ones(len(rows), "int64"),
        added=views.added,
    )


@dataclass(frozen=True)
class Extractor:
    """A frozen network with what identifies its outputs.

    Attributes:
        model: float32 [N, S, S, 3] in 0..255 to one or more outputs; the first is what is asked
            for, the others are kept along with it, since they cost nothing then.
        identities: everything an output's features depend on besides the image and its view.
        pixels: batches of pixels, float32 [n, S, S, 3], from files and views (images/pixels.py).
        check: refuses a file whose bytes have not the sha256 that it is listed with: its features
            would be kept as another image's.
    """

    model: keras.Model
    identities: tuple[Mapping[str, Any], ...]
    pixels: Pixels
    check: Callable[[Path, str], object]

    @property
    def label(self) -> str:
        """For progress bars: where the network is cut."""
        return f"features at {self.identities[0]['cut']}"


@dataclass(frozen=True)
class Use:
    """What a request for features came to.

    Attributes:
        cut: the layer.
        found: rows that were in the cache.
        computed: rows that were not.
        seconds: what computing those took.
        saved_s: what computing the found ones had taken.
    """

    cut: str
    found: int
    computed: int
    seconds: float
    saved_s: float


def identity_of(backbone: Backbone, weights: str | None, cut: str, seed: int) -> dict[str, Any]:
    """What names a backbone's features.

    Args:
        backbone: architecture, width and size.
        weights: sha256 of the pretrained weights; None for random ones, which `seed` draws.
        cut: name of the layer (or pooling) whose output is kept.
        seed: of random weights.
    """
    pixels = BACKBONES[backbone.architecture].pixels
    return {
        "architecture": backbone.architecture,
        "scale": [pixels.scale, pixels.offset],
        "alpha": backbone.alpha,
        "image_size_px": backbone.image_size_px,
        "weights": weights or f"random {seed}",
        "cut": cut,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "arithmetic": _ARITHMETIC,
    }


class _Writer:
    """Gathers computed rows of one output into shards."""

    def __init__(self, space: Space, storage: str) -> None:
        self.space, self.storage = space, storage
        self.keys: list[Array] = []
        self.features: list[Array] = []
        self.seconds = 0.0

    def add(self, keys: Array, features: Array, seconds: float) -> None:
        new = self.space.missing(keys)
        with np.errstate(over="ignore"):  # What does not fit the storage type is refused below.
            self.features.append(features[new].astype(self.storage))
        self.keys.append(keys[new])
        self.seconds += seconds
        row_bytes = max(1, features[0].size * np.dtype(self.storage).itemsize)
        if sum(map(len, self.keys)) >= self.space.shard_rows(row_bytes):
            self.flush()

    def flush(self) -> None:
        keys, features = self.keys, self.features
        self.keys, self.features = [], []
        if any(map(len, keys)):
            self.space.append(np.concatenate(keys), np.concatenate(features), self.seconds)
        self.seconds = 0.0


def _extract(
    views: Views,
    rows: Array,
    extractor: Extractor,
    settings: Features,
    writers: Sequence[_Writer],
    forward: Forward,
) -> None:
    """Compute some rows of `views` and write them.

    What was computed before an interrupt, or before a disk was full, is kept.
    """
    files, vectors = [views.files[row] for row in rows], views.vectors[rows]
    hashes = [views.sha256[row] for row in rows]
    keys = row_keys(hashes, vectors, views.added)
    added = {"added": views.added} if views.added else {}
    size_px = extractor.model.input_shape[1]
    started = time.monotonic()
    done = 0
    try:
        with tqdm(total=len(rows), unit="img", desc=extractor.label) as bar:
            for pixels in extractor.pixels(files, vectors, size_px, settings.batch_size, **added):
                outputs = forward(pixels)
                batch = slice(done, done + len(pixels))
                for file, sha256 in dict.fromkeys(zip(files[batch], hashes[batch], strict=True)):
                    extractor.check(file, sha256)
                now = time.monotonic()
                for writer, output in zip(writers, outputs, strict=True):
                    writer.add(keys[batch], output, now - started)
                started, done = now, done + len(pixels)
                bar.update(len(pixels))
    finally:
        for writer in writers:
            writer.flush()


def features_of(
    views: Views, extractor: Extractor, settings: Features, cache: Path
) -> tuple[Rows, Use]:
    """Features of all rows, gathered from the cache as they are indexed: [R, ...].

    Args:
        views: the rows.
        extractor: the frozen network.
        settings: engine, storage type and batch size.
        cache: folder of computed features.

    Raises:
        ArtifactError: a feature is not finite in its storage type.
        OSError: the cache cannot be written to; what was computed before is kept.
    """
    return features_of_splits([views], extractor, settings, cache)[0]


def features_of_splits(
    splits: Sequence[Views], extractor: Extractor, settings: Features, cache: Path
) -> list[tuple[Rows, Use]]:
    """`features_of` each split, by an engine that is opened once, and only if a row is missing."""
    shared = {"engine": describe(settings.engine), "storage": settings.storage}
    spaces = [Space(cache, {**identity, **shared}).open() for identity in extractor.identities]
    network = sha256_json([space.identity for space in spaces])[:32]
    with ExitStack() as stack:
        keep = spaces[0].folder / f"{network}{NETWORK_SUFFIX}"
        engine = open_engine(extractor.model, settings.engine, keep)
        forward = functools.cache(lambda: stack.enter_context(engine))
        results = [_features_of(views, extractor, settings, spaces, forward) for views in splits]
    for _, use in results:
        feature_cache.record(cache, use)
    feature_cache.evict(cache, keep=[space.folder for space in spaces])
    return results


def _absent(space: Space, keys: Array) -> Array:
    """Rows whose key the space lacks, each key once."""
    absent = np.flatnonzero(space.missing(keys))
    _, once = np.unique(keys[absent], return_index=True)
    return np.sort(absent[once])


def _features_of(
    views: Views,
    extractor: Extractor,
    settings: Features,
    spaces: Sequence[Space],
    engine: Callable[[], Forward],
) -> tuple[Rows, Use]:
    first, keys = spaces[0], views.keys()
    there = ~first.missing(keys)
    computed, seconds = 0, 0.0
    # More than once when another process evicts rows that were there, or the disk loses some.
    for _ in range(_ATTEMPTS):
        rows = _absent(first, keys)
        if not len(rows):
            break
        began = time.monotonic()
        writers = [_Writer(space, settings.storage) for space in spaces]
        _extract(views, rows, extractor, settings, writers, engine())
        computed, seconds = computed + len(rows), seconds + time.monotonic() - began
        first.open()
    features = first.rows(keys)
    use = Use(
        cut=str(extractor.identities[0]["cut"]),
        found=int(there.sum()),
        computed=computed,
        seconds=round(seconds, 1),
        saved_s=round(float(features.seconds()[there].sum()), 1),
    )
    return features, use
