"""Features of the frozen part of a backbone, computed once and kept by what they depend on.

A file of features is named by a hash of the images' bytes and views, the backbone with its weights,
the cut and the storage type. Deleting it costs time and changes nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import keras
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from pipeline_steps.artifacts import atomic_file, sha256_json
from pipeline_steps.params import Backbone, Features

Array = npt.NDArray[Any]


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
    """

    files: Sequence[Path]
    sha256: Sequence[str]
    vectors: Array
    labels: Array
    first: Array
    count: Array


@dataclass(frozen=True)
class Extractor:
    """A frozen network with what identifies it.

    Attributes:
        model: float32 [N, S, S, 3] in 0..255 to the features.
        identity: everything the features depend on besides the image and its view.
        pixels: batches of pixels, float32 [n, S, S, 3], from files and views (images/views.py).
    """

    model: keras.Model
    identity: dict[str, Any]
    pixels: Callable[[Sequence[Path], Array, int, int], Iterator[Array]]


def identity_of(backbone: Backbone, weights: str | None, cut: str, seed: int) -> dict[str, Any]:
    """What names a backbone's features.

    Args:
        backbone: architecture, width and size.
        weights: sha256 of the pretrained weights; None for random ones, which `seed` draws.
        cut: name of the layer (or pooling) whose output is kept.
        seed: of random weights.
    """
    return {
        "architecture": backbone.architecture,
        "alpha": backbone.alpha,
        "image_size_px": backbone.image_size_px,
        "weights": weights or f"random {seed}",
        "cut": cut,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
    }


def _forward(model: keras.Model) -> Callable[[Array], Any]:
    # A compiled call is about twice as fast as `predict`, which starts a data pipeline each time.
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        shape = (None, *model.input_shape[1:])
        call = tf.function(
            lambda x: model(x, training=False),
            input_signature=[tf.TensorSpec(shape, tf.float32)],
        )
        return lambda x: call(x).numpy()
    return lambda x: keras.ops.convert_to_numpy(model.predict_on_batch(x))


def _write_header(file: BinaryIO, shape: tuple[int, ...], storage: str) -> None:
    description = np.lib.format.dtype_to_descr(np.dtype(storage))
    header = {"descr": description, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _compute(views: Views, extractor: Extractor, settings: Features, target: Path) -> None:
    forward = _forward(extractor.model)
    shape = (len(views.files), *extractor.model.output_shape[1:])
    size_px = extractor.model.input_shape[1]
    batches = extractor.pixels(views.files, views.vectors, size_px, settings.batch_size)
    label = f"features at {extractor.identity['cut']}"
    # Appended with plain writes: on a full disk a write says so, a memory map dies of SIGBUS.
    with target.open("wb") as file, tqdm(total=shape[0], unit="img", desc=label) as bar:
        _write_header(file, shape, settings.storage)
        for pixels in batches:
            features = forward(pixels)
            file.write(np.ascontiguousarray(features, settings.storage).tobytes())
            bar.update(len(features))


def features_of(views: Views, extractor: Extractor, settings: Features, cache: Path) -> Array:
    """Features of all rows, memory-mapped, read-only, [R, ...] of the storage type.

    Args:
        views: the rows.
        extractor: the frozen network.
        settings: storage type and batch size.
        cache: folder of computed features.
    """
    rows = [*zip(views.sha256, views.vectors.tolist(), strict=True)]
    key = sha256_json([extractor.identity, settings.storage, rows])
    target = cache / f"{key}.npy"
    if not target.is_file():
        with atomic_file(target) as partial:
            _compute(views, extractor, settings, partial)
    features: Array = np.load(target, mmap_mode="r")
    return features
