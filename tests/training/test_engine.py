"""Cached features have to be those that the whole network would have computed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from sortline.training.batches import Examples, one_hot
from sortline.training.cuts import cut_below, set_trainable_from
from sortline.training.engine import Engine, convert, describe, open_engine
from sortline.training.extraction import pooled_and_cut
from sortline.training.feature_store import Rows, Space, row_keys
from sortline.training.features import Extractor, Views, features_of, identity_of
from sortline.training.held_rows import HeldRows
from sortline.training.loop import train
from sortline.training.network import build_network
from sortline.training.network_settings import Backbone, Head
from sortline.training.parts import frozen_part, trained_part
from sortline.training.phase import on_device
from sortline.training.phase_settings import Features, Phase
from sortline.training.weights import load_pretrained

_DEMO = Backbone(architecture="mobilenet_v2", alpha=0.35, image_size_px=96, weights="demo")
_HEAD = Head(pooling="average", batchnorm=False, hidden_units=16, dropout=0.3, activation="softmax")
_IMAGES = 24
Array = npt.NDArray[Any]


def _network() -> keras.Model:
    network = build_network(_DEMO, _HEAD, 3, seed=5)
    load_pretrained(network.get_layer("backbone"), _DEMO, Path("nowhere"))
    return network


@pytest.fixture(scope="module")
def pixels() -> Array:
    """Random pictures with large shapes in them, float32 [24, 96, 96, 3] in 0..255."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (_IMAGES, 6, 6, 3)).repeat(16, 1).repeat(16, 2)
    return (coarse + rng.normal(0, 10, coarse.shape)).clip(0, 255).astype("float32")


def _beside_keras(engine: Engine, pixels: Array) -> list[tuple[Array, Array]]:
    """Both outputs of the demo backbone by this engine, each with that of Keras in float32."""
    network = _network()
    model = pooled_and_cut(network, cut_below(network.get_layer("backbone"), 100))
    with open_engine(model, engine) as asked, open_engine(model, "keras") as exact:
        pairs = list(zip(asked(pixels), exact(pixels), strict=True))
    assert [mine.shape for mine, _ in pairs] == [(_IMAGES, 1280), (_IMAGES, 6, 6, 32)]
    return pairs


def test_litert_agrees_with_tensorflow(pixels: Array) -> None:
    for mine, theirs in _beside_keras("litert", pixels):
        assert np.abs(mine - theirs).max() <= 1e-4
        assert theirs.std() > 0.01


def test_bfloat16_is_near_float32_and_kept_apart_from_it(pixels: Array) -> None:
    for mine, theirs in _beside_keras("keras_bfloat16", pixels):
        assert mine.dtype == np.float32
        assert 0.98 < np.corrcoef(mine.ravel(), theirs.ravel())[0, 1] < 1.0
        assert np.abs(mine - theirs).max() > 1e-3  # Or it would not be bfloat16 at all.
    assert describe("keras_bfloat16") != describe("keras")


def test_a_network_is_converted_once_and_again_when_its_file_is_damaged(
    pixels: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversions: list[str] = []

    def counting(model: keras.Model) -> bytes:
        conversions.append(model.name)
        return convert(model)

    monkeypatch.setattr("sortline.training.engine.convert", counting)
    network, keep = _network(), tmp_path / "new" / "network"
    model = keras.Model(network.input, network.get_layer("pooling").output)
    answers = []
    for _ in range(2):
        with open_engine(model, "litert", keep) as forward:
            answers.append(forward(pixels[:2])[0])
    assert len(conversions) == 1
    np.testing.assert_array_equal(answers[0], answers[1])
    whole = keep.read_bytes()
    keep.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    with open_engine(model, "litert", keep) as forward:
        np.testing.assert_array_equal(forward(pixels[:2])[0], answers[0])
    assert len(conversions) == 2
    assert keep.read_bytes()[32:5000] == whole[32:5000]


def _views() -> Views:
    return Views(
        files=[Path(str(index)) for index in range(_IMAGES)],
        sha256=[f"{index:064x}" for index in range(_IMAGES)],
        vectors=np.zeros((_IMAGES, 1), "float32"),
        labels=np.arange(_IMAGES) % 3,
        first=np.arange(_IMAGES),
        count=np.ones(_IMAGES, "int64"),
    )


def _phase() -> Phase:
    return Phase.model_validate(
        {
            "epochs": 2,
            "batch_size": 8,
            "optimizer": "adam",
            "learning_rate": 0.001,
            "weight_decay": 0.0,
            "schedule": "constant",
            "warmup_epochs": 0,
            "label_smoothing": 0.0,
            "mixup_alpha": 0.0,
            "ema_momentum": 0.0,
            "early_stopping_patience": None,
            "plateau_patience": None,
            "plateau_factor": 0.5,
        }
    )


def _trained(
    network: keras.Model, model: keras.Model, features: Any, folder: Path, mixup_alpha: float = 0.0
) -> list[Array]:
    views = _views()
    examples = Examples(features, views, one_hot(views.labels, 3))
    train(
        model,
        (examples, examples),
        _phase().model_copy(update={"mixup_alpha": mixup_alpha}),
        seed=1,
        first_epoch=0,
        resume=folder / "resume",
        on_epoch=lambda _: None,
    )
    return [np.array(value) for value in network.get_weights()]


@pytest.mark.parametrize("from_layer", [154, 100], ids=["head alone", "from layer 100"])
def test_training_on_cached_features_is_training_the_whole_network(
    from_layer: int, pixels: Array, tmp_path: Path
) -> None:
    whole = _network()
    before = [np.array(value) for value in whole.get_weights()]
    set_trainable_from(whole.get_layer("backbone"), from_layer)
    expected = _trained(whole, whole, pixels, tmp_path / "whole")

    parts = _network()
    backbone = parts.get_layer("backbone")
    cut = cut_below(backbone, from_layer)

    def batches(
        files: Sequence[Path], _vectors: Array, _size: int, batch_size: int
    ) -> Iterator[Array]:
        rows = [int(file.name) for file in files]
        for start in range(0, len(rows), batch_size):
            yield pixels[rows[start : start + batch_size]]

    identity = identity_of(_DEMO, "demo", backbone.layers[cut].name, 0)
    extractor = Extractor(
        frozen_part(parts, cut), (identity,), batches, lambda _path, _sha256: None
    )
    settings = Features(engine="keras", storage="float32", batch_size=8, device_gb=0.0)
    rows, _ = features_of(_views(), extractor, settings, tmp_path / "cache")
    set_trainable_from(backbone, from_layer)
    got = _trained(parts, trained_part(parts, cut), rows, tmp_path / "parts")

    assert max(np.abs(a - b).max() for a, b in zip(expected, before, strict=True)) > 1e-3
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)


def _rows(folder: Path) -> Rows:
    views = _views()
    keys = row_keys(views.sha256, views.vectors)
    space = Space(folder, {"cut": "pooled"})
    features = np.random.default_rng(3).random((_IMAGES, 1280)).astype("float16")
    for half in (slice(0, 10), slice(10, None)):
        space.append(keys[half], features[half], 1.0)
    return space.open().rows(keys)


def test_features_that_a_device_keeps_train_as_those_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = _rows(tmp_path / "cache")
    monkeypatch.setattr("sortline.training.phase.has_accelerator", lambda: False)
    assert on_device(rows, 4.0) is rows
    # The CPU stands in for one: Keras keeps tensors on its default device, whichever that is.
    monkeypatch.setattr("sortline.training.phase.has_accelerator", lambda: True)
    held = on_device(rows, 4.0)
    assert isinstance(held, HeldRows)
    assert on_device(rows, 5e-6 * _IMAGES) is rows  # Of 2,560 bytes each, twice.

    heads = [_network().get_layer("head") for _ in range(2)]
    expected, got = (
        _trained(head, head, features, tmp_path / str(index), mixup_alpha=0.2)
        for index, (head, features) in enumerate(zip(heads, (rows, held), strict=True))
    )
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
