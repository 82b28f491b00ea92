"""A killed training must go on to the same weights; the order of data must be drawn, not kept."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from helpers.training_parts import signal_examples

from sortline.training.batches import Examples, Replay, epoch_batches
from sortline.training.curves import Row
from sortline.training.features import Views
from sortline.training.loop import Trained, measure, train
from sortline.training.phase_settings import Phase

_REFERENCE: dict[str, Any] = {
    "epochs": 12,
    "batch_size": 16,
    "optimizer": "adam",
    "learning_rate": 0.05,
    "weight_decay": 0.0,
    "schedule": "constant",
    "warmup_epochs": 0,
    "label_smoothing": 0.0,
    "mixup_alpha": 0.0,
    "ema_momentum": 0.0,
    "early_stopping_patience": 5,
    "plateau_patience": 2,
    "plateau_factor": 0.5,
}
_AVERAGED = {
    **_REFERENCE,
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "schedule": "cosine",
    "warmup_epochs": 1,
    "label_smoothing": 0.1,
    "mixup_alpha": 0.2,
    "ema_momentum": 0.9,
    "early_stopping_patience": None,
    "plateau_patience": None,
    "epochs": 6,
}


def _model() -> keras.Model:
    keras.utils.set_random_seed(7)
    return keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(3),
        ]
    )


class _KilledError(Exception):
    pass


def _kill_after(epochs: int) -> Callable[[Row], None]:
    def on_epoch(row: Row) -> None:
        if row["epoch"] == epochs:
            raise _KilledError

    return on_epoch


def _train(
    settings: dict[str, Any], resume: Path, on_epoch: Callable[[Row], None]
) -> tuple[Trained, keras.Model]:
    splits = (signal_examples(0, 90, 2), signal_examples(1, 40, 0))
    model = _model()
    trained = train(
        model,
        splits,
        Phase.model_validate(settings),
        seed=3,
        first_epoch=0,
        resume=resume,
        on_epoch=on_epoch,
    )
    return trained, model


def _without_time(history: list[Row]) -> list[Row]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


@pytest.mark.parametrize("settings", [_REFERENCE, _AVERAGED], ids=["reference", "averaged"])
def test_a_killed_run_ends_with_the_undisturbed_weights(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    expected, model = _train(settings, tmp_path / "whole", lambda _: None)
    if settings is _REFERENCE:
        rates = {row["learning_rate"] for row in expected.history}
        assert len(rates) > 1, "the rate was never reduced: this test would prove nothing"
        assert expected.best_epoch < len(expected.history) - 1
    kills = {2, expected.best_epoch + 1, len(expected.history)} & set(
        range(1, len(expected.history) + 1)
    )
    for epochs in sorted(kills):
        with pytest.raises(_KilledError):
            _train(settings, tmp_path / "killed", _kill_after(epochs))
    resumed, again = _train(settings, tmp_path / "killed", lambda _: None)
    assert _without_time(resumed.history) == _without_time(expected.history)
    assert resumed.best_epoch == expected.best_epoch
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_decisions_are_those_of_keras_fit(tmp_path: Path) -> None:
    ours, _ = _train(_REFERENCE, tmp_path / "x", lambda _: None)
    best = min(ours.history, key=lambda row: row["val_loss"])
    assert ours.best_epoch == best["epoch"]
    assert len(ours.history) == min(12, best["epoch"] + 5)
    assert ours.metrics["val_loss"] == pytest.approx(best["val_loss"], rel=1e-5)


def test_an_epoch_sees_each_image_once_and_draws_its_views() -> None:
    examples = signal_examples(0, 50, 3)
    by_row = Examples(np.arange(200, dtype="float32")[:, None], examples.views, examples.targets)
    seen = []
    for epoch in range(2):
        rows = np.concatenate(
            [
                x[:, 0]
                for x, _ in epoch_batches(by_row, batch_size=8, mixup_alpha=0, seed=0, epoch=epoch)
            ]
        )
        assert sorted(rows.astype(int) // 4) == list(range(50))
        seen.append(rows)
    assert (np.sort(seen[0]) != np.sort(seen[1])).any()
    assert len(set(seen[0].astype(int) % 4)) == 4


def test_every_epoch_of_a_warm_retrain_has_all_new_images_and_other_old_ones() -> None:
    examples = signal_examples(0, 50, 3)
    new = np.isin(np.arange(50), [4, 44])
    by_row = replace(
        examples, features=np.arange(200, dtype="float32")[:, None], replay=Replay(new, 4.0)
    )
    olds = []
    for epoch in range(3):
        batches = epoch_batches(by_row, batch_size=4, mixup_alpha=0, seed=0, epoch=epoch)
        images = np.concatenate([x[:, 0] for x, _ in batches]).astype(int) // 4
        assert len(images) == len(set(images)) == by_row.epoch_size == 10
        assert {4, 44} <= set(images)
        olds.append(frozenset(images))
    assert len(set(olds)) == 3
    assert replace(by_row, replay=Replay(~new, 4.0)).epoch_size == 50


def test_figures_of_an_epoch_are_over_all_batches(tmp_path: Path) -> None:
    trained, model = _train({**_REFERENCE, "epochs": 1}, tmp_path / "x", lambda _: None)
    examples = signal_examples(1, 40, 0)
    many = Examples(
        np.tile(np.asarray(examples.features), (20, 1)),
        Views(
            files=[Path("x")] * 800,
            sha256=["0"] * 800,
            vectors=np.zeros((800, 1), "float32"),
            labels=np.tile(examples.views.labels, 20),
            first=np.arange(800),
            count=np.ones(800, "int64"),
        ),
        np.tile(examples.targets, (20, 1)),
    )
    logits = model(np.asarray(examples.features).astype("float32"), training=False).numpy()
    right = float((logits.argmax(1) == examples.views.labels).mean())
    assert measure(model, many)["accuracy"] == pytest.approx(right, abs=1e-6)
    assert trained.metrics["val_accuracy"] == pytest.approx(right, abs=1e-6)
