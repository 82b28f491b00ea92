"""Without these, the demo could ship weights that do not load, or that no recipe made."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pipeline_steps.artifacts import sha256_file
from pipeline_steps.errors import WeightsError
from pipeline_steps.images.drawing.families import PRETRAINING
from pipeline_steps.models import pretrain_demo
from pipeline_steps.models.pretrain_demo import (
    DEMO_WEIGHTS,
    Recipe,
    SmoothedCrossEntropy,
    Stage,
    build_backbone,
    random_views,
    save_backbone,
    still_views,
)
from pipeline_steps.models.weights import load_weights


def pictures(count: int = 6) -> pretrain_demo.Pictures:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 112, 112, 3), dtype=np.uint8)
    return pixels, np.arange(count)


def test_the_shipped_weights_are_those_of_the_record() -> None:
    record = json.loads(DEMO_WEIGHTS.with_suffix(".json").read_text())
    assert record["sha256"] == sha256_file(DEMO_WEIGHTS)
    assert record["recipe"] == json.loads(json.dumps(asdict(Recipe())))
    assert record["families"] == list(PRETRAINING)
    assert DEMO_WEIGHTS.stat().st_size <= 2_000_000


def test_the_shipped_weights_load_and_tell_pictures_apart() -> None:
    backbone = build_backbone(Recipe())
    load_weights(backbone, DEMO_WEIGHTS)
    batch = still_views(pictures()[0], 96)
    features = keras.ops.convert_to_numpy(backbone(batch, training=False))
    assert features.shape == (6, 3, 3, 1280)
    assert np.isfinite(features).all()
    assert features.std(axis=0).max() > 0


def test_weights_too_large_to_ship_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrain_demo, "MAX_WEIGHTS_BYTES", 1_000)
    model = keras.Sequential([keras.Input((40,)), keras.layers.Dense(40, name="dense")])
    with pytest.raises(WeightsError, match="at most 1000 ship"):
        save_backbone(model, tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())


def test_weights_that_float16_cannot_hold_are_refused(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="dense")])
    model.set_weights([np.full((1, 1), 1e6), np.zeros(1)])
    with pytest.raises(WeightsError, match="dense/kernel: not finite"):
        save_backbone(model, tmp_path / "x.safetensors")


def test_a_still_view_is_the_scaled_middle_of_the_picture() -> None:
    pixels, _ = pictures()
    expected = pixels[:, 8:104, 8:104].astype(np.float32) / 127.5 - 1
    np.testing.assert_array_equal(still_views(pixels, 96), expected)


def test_views_for_training_stay_in_range_and_vary() -> None:
    pixels, _ = pictures()
    rng = np.random.default_rng(0)
    first = random_views(pixels, 64, rng)
    assert first.shape == (6, 64, 64, 3)
    assert np.abs(first).max() <= 1
    assert not np.array_equal(first, random_views(pixels, 64, rng))


def _fail_at_first(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    train = pretrain_demo._train_epoch

    def once(*arguments: Any) -> float:
        if arguments[-1] == epoch:
            monkeypatch.setattr(pretrain_demo, "_train_epoch", train)
            raise KeyboardInterrupt
        return train(*arguments)

    monkeypatch.setattr(pretrain_demo, "_train_epoch", once)


@pytest.mark.slow  # Two networks are compiled for two sizes each.
def test_an_interrupted_pretraining_goes_on_and_its_record_tells_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stages = (Stage("studio", 32, 1), Stage("pretraining", 64, 1))
    recipe = Recipe(train_images=16, val_images=8, batch_size=8, warmup_steps=1, stages=stages)
    _fail_at_first(monkeypatch, epoch=1)
    target = tmp_path / "weights.safetensors"
    with pytest.raises(KeyboardInterrupt):
        pretrain_demo.pretrain(recipe, target)
    assert not target.exists()
    assert len(list(tmp_path.glob(".sortline/resume/*"))) == 1
    accuracy = pretrain_demo.pretrain(recipe, target)
    record = json.loads(target.with_suffix(".json").read_text())
    assert record["val_accuracy"] == pytest.approx(accuracy, abs=1e-4)
    assert record["recipe"] == json.loads(json.dumps(asdict(recipe)))
    assert not list(tmp_path.glob(".sortline/resume/*"))


def test_smoothing_keeps_part_of_the_loss_for_other_classes() -> None:
    logits = np.log(np.array([[0.7, 0.2, 0.1]], np.float32))
    loss = float(SmoothedCrossEntropy(0.3)(np.array([0]), logits))
    soft = np.array([0.8, 0.1, 0.1])
    assert loss == pytest.approx(float(-(soft * logits).sum()), rel=1e-5)
