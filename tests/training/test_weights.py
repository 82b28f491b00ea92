"""Pretrained weights: where they are looked for, and what is said when they are not there."""

from pathlib import Path

import keras
import numpy as np
import pytest

from sortline.core.errors import WeightsError
from sortline.training.cuts import build_backbone
from sortline.training.network_settings import Backbone
from sortline.training.weights import (
    find_weights,
    load_pretrained,
    load_weights,
    save_weights,
)


def _params(weights: str | None, alpha: float = 0.35) -> Backbone:
    return Backbone(architecture="mobilenet_v2", alpha=alpha, image_size_px=96, weights=weights)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No weights anywhere: Keras's cache is empty and its download fails."""

    def fail(*_: object, **__: object) -> None:
        raise Exception("no network")  # noqa: TRY002 (as Keras does)

    monkeypatch.delenv("SORTLINE_WEIGHTS_DIR", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(keras.utils, "get_file", fail)
    return tmp_path


def test_what_was_tried_and_the_ways_to_go_on_are_said(offline: Path) -> None:
    with pytest.raises(WeightsError) as error:
        find_weights(_params("imagenet"), offline)
    for said in ("SORTLINE_WEIGHTS_DIR: not set", str(offline / "keras"), "--recipe demo", "s3://"):
        assert said in str(error.value)


def test_the_named_folder_comes_before_the_cache_of_keras(
    offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = offline / "keras/models"
    cached.mkdir(parents=True)
    keras_file = cached / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5"
    keras_file.touch()
    assert find_weights(_params("imagenet"), offline) == keras_file
    ours = offline / "weights" / "mobilenet_v2_0.35_224_no_top.weights.h5"
    ours.parent.mkdir()
    ours.touch()
    monkeypatch.setenv("SORTLINE_WEIGHTS_DIR", str(ours.parent))
    assert find_weights(_params("imagenet"), offline) == ours


@pytest.mark.parametrize(
    ("weights", "alpha", "said"),
    [
        ("imagenet", 0.4, "no ImageNet weights for backbone.alpha 0.4"),
        ("demo", 1.0, "demo backbone is mobilenet_v2 of alpha 0.35 at 96"),
        ("nowhere/x.h5", 0.35, "no such file"),
        ("https://localhost:9/x.weights.h5", 0.35, "could not be downloaded"),
    ],
)
def test_weights_that_cannot_be_had(offline: Path, weights: str, alpha: float, said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        find_weights(_params(weights, alpha), offline)


def test_weights_come_back_as_they_were_saved(tmp_path: Path) -> None:
    model = build_backbone(_params(None))
    save_weights(model, tmp_path / "a.safetensors")
    other = build_backbone(_params(None))
    load_weights(other, tmp_path / "a.safetensors")
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    save_weights(other, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    save_weights(build_backbone(_params(None, 0.5)), tmp_path / "wide.safetensors")
    with pytest.raises(WeightsError, match="has shape"):
        load_weights(build_backbone(_params(None)), tmp_path / "wide.safetensors")
    (tmp_path / "junk.weights.h5").write_bytes(b"junk")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_weights(build_backbone(_params(None)), tmp_path / "junk.weights.h5")


def test_the_demo_backbone_ships_and_is_small(tmp_path: Path) -> None:
    source = find_weights(_params("demo"), tmp_path)
    assert source is not None
    assert source.stat().st_size <= 2_000_000
    loaded = load_pretrained(build_backbone(_params("demo")), _params("demo"), tmp_path)
    assert loaded.sha256 is not None
