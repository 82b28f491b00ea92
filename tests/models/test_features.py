"""Features are computed once, never confused with others, and whole or not there."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from pipeline_steps.models.features import Extractor, Views, features_of, identity_of
from pipeline_steps.params import Backbone, Features

_BACKBONE = Backbone(architecture="mobilenet_v2", alpha=0.35, image_size_px=96, weights=None)
_SETTINGS = Features(storage="float32", batch_size=4)
Array = npt.NDArray[Any]


def _views(images: int, shift: float = 0.0) -> Views:
    return Views(
        files=[Path(f"{index}.jpg") for index in range(images)],
        sha256=[f"{index:064x}" for index in range(images)],
        vectors=np.full((images, 2), shift, "float32"),
        labels=np.zeros(images, "int64"),
        first=np.arange(images),
        count=np.ones(images, "int64"),
    )


class _Pixels:
    """Pixels that tell which file and view they are of; counts what was asked for."""

    def __init__(self, fail_after: int | None = None) -> None:
        self.asked = 0
        self.fail_after = fail_after

    def __call__(
        self, files: Sequence[Path], vectors: Array, size_px: int, batch_size: int
    ) -> Iterator[Array]:
        for start in range(0, len(files), batch_size):
            values = [float(file.stem) for file in files[start : start + batch_size]]
            self.asked += len(values)
            if self.fail_after is not None and self.asked > self.fail_after:
                raise OSError(28, "No space left on device")
            plane = np.ones((len(values), size_px, size_px, 3), "float32")
            moved = np.array(values, "float32") + vectors[start : start + batch_size, 0]
            yield plane * moved[:, None, None, None]


def _extractor(pixels: _Pixels, weights: str = "w", cut: str = "pooling") -> Extractor:
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    return Extractor(model, identity_of(_BACKBONE, weights, cut, 0), pixels)


def test_features_are_those_of_their_rows_and_computed_once(tmp_path: Path) -> None:
    pixels = _Pixels()
    first = features_of(_views(10), _extractor(pixels), _SETTINGS, tmp_path)
    np.testing.assert_array_equal(first[:, 0], np.arange(10))
    again = features_of(_views(10), _extractor(pixels), _SETTINGS, tmp_path)
    np.testing.assert_array_equal(again, first)
    assert pixels.asked == 10


@pytest.mark.parametrize(
    ("views", "weights", "cut", "storage"),
    [
        (_views(10, shift=1.0), "w", "pooling", "float32"),
        (_views(9), "w", "pooling", "float32"),
        (_views(10), "other", "pooling", "float32"),
        (_views(10), "w", "block_1", "float32"),
        (_views(10), "w", "pooling", "float16"),
    ],
)
def test_other_inputs_never_get_these_features(
    tmp_path: Path, views: Views, weights: str, cut: str, storage: str
) -> None:
    features_of(_views(10), _extractor(_Pixels()), _SETTINGS, tmp_path)
    pixels = _Pixels()
    settings = Features.model_validate({"storage": storage, "batch_size": 4})
    features = features_of(views, _extractor(pixels, weights, cut), settings, tmp_path)
    assert pixels.asked == len(views.files)
    assert features.dtype == storage


def test_a_failed_extraction_leaves_nothing_that_could_be_read(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space"):
        features_of(_views(10), _extractor(_Pixels(fail_after=5)), _SETTINGS, tmp_path)
    assert list(tmp_path.iterdir()) == []
