"""The training loop of every phase, on features or pixels, written against Keras 3 alone.

The loop is ours because it has to be able to stop after any epoch and go on in another process with
the same result; the decisions in it (early stopping, the learning rate) are Keras's own callbacks.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sortline.core.errors import SortlineError
from sortline.training import checkpoint
from sortline.training.batches import Examples, epoch_batches
from sortline.training.curves import Row
from sortline.training.devices import current
from sortline.training.phase_settings import Phase

_EVALUATION_BATCH, _EVALUATION_BYTES = 256, 32 << 20


@dataclass(frozen=True)
class Trained:
    """What a phase came to.

    Attributes:
        history: one row an epoch: epoch (from 1, over all phases), loss, accuracy, val_loss,
            val_accuracy, learning_rate, seconds.
        best_epoch: the epoch whose weights the model has now.
        metrics: loss and accuracy of the final weights on train and val, in inference mode; where
            old images are replayed, on a sample of train.
    """

    history: list[Row]
    best_epoch: int
    metrics: dict[str, float]


def _learning_rate(phase: Phase, steps: int) -> Any:
    if phase.schedule == "constant":
        return phase.learning_rate
    warmup = phase.warmup_epochs * steps
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else phase.learning_rate,
        decay_steps=phase.epochs * steps - warmup,
        warmup_target=phase.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


def _optimizer(phase: Phase, steps: int) -> keras.optimizers.Optimizer:
    average = {"use_ema": True, "ema_momentum": phase.ema_momentum} if phase.ema_momentum else {}
    rate = _learning_rate(phase, steps)
    if phase.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=phase.weight_decay, **average)
    return keras.optimizers.Adam(rate, **average)


def _callbacks(phase: Phase, model: keras.Model) -> list[keras.callbacks.Callback]:
    chosen: list[keras.callbacks.Callback] = []
    if phase.early_stopping_patience is not None:
        chosen.append(
            keras.callbacks.EarlyStopping(
                "val_loss",
                mode="min",
                patience=phase.early_stopping_patience,
                restore_best_weights=True,
            )
        )
    if phase.plateau_patience is not None:
        chosen.append(
            keras.callbacks.ReduceLROnPlateau(
                "val_loss", mode="min", patience=phase.plateau_patience, factor=phase.plateau_factor
            )
        )
    for callback in chosen:
        callback.set_model(model)
        callback.on_train_begin()
    return chosen


def compile_model(model: keras.Model, phase: Phase, examples: Examples) -> None:
    """Compile for `phase`, and build the optimizer, so that its state can be restored.

    Args:
        model: features to logits.
        phase: the settings.
        examples: the training split, whose targets decide the form of the loss.
    """
    steps = -(-examples.epoch_size // phase.batch_size)
    optimizer = _optimizer(phase, steps)
    loss: keras.losses.Loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=phase.label_smoothing
    )
    metric: keras.metrics.Metric = keras.metrics.CategoricalAccuracy("accuracy")
    if examples.targets.ndim == 1:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        metric = keras.metrics.SparseCategoricalAccuracy("accuracy")
    model.compile(optimizer, loss, metrics=[metric])
    optimizer.build(model.trainable_variables)


def _mean(results: Iterable[tuple[dict[str, float], int]]) -> dict[str, float]:
    # `train_on_batch` and `test_on_batch` give each batch's own figures, not running ones.
    sums = {"loss": 0.0, "accuracy": 0.0}
    images = 0
    for result, size in results:
        images += size
        for name in sums:
            sums[name] += float(result[name]) * size
    return {name: value / images for name, value in sums.items()}


def evaluation_batch(model: keras.Model) -> int:
    """Images a batch where nothing is learnt: 256, or fewer where those are pixels."""
    row_bytes = 4 * int(np.prod(model.input_shape[1:]))
    return max(1, min(_EVALUATION_BATCH, _EVALUATION_BYTES // row_bytes))


def measure(
    model: keras.Model, examples: Examples, images: npt.NDArray[np.int64] | None = None
) -> dict[str, float]:
    """Loss and accuracy on plain images, or on those of these indices, in inference mode."""
    return _mean(
        (model.test_on_batch(x, y, return_dict=True), len(x))
        for x, y in examples.plain(evaluation_batch(model), images)
    )


def _sample(examples: Examples) -> npt.NDArray[np.int64] | None:
    """As many images as an epoch has, from all alike: None when those are all of them."""
    if examples.replay is None:
        return None
    return np.random.default_rng(0).permutation(len(examples.targets))[: examples.epoch_size]


def _measure_averaged(model: keras.Model, examples: Examples, averaged: bool) -> dict[str, float]:
    if not averaged:
        return measure(model, examples)
    weights = model.get_weights()
    _take_averages(model)
    result = measure(model, examples)
    model.set_weights(weights)
    return result


def _take_averages(model: keras.Model) -> None:
    """Put the averages of the weights into the model, if the optimizer keeps them."""
    model.optimizer.finalize_variable_values(model.trainable_variables)
    # JAX lets the model share the averages' memory, and gives it away with the next batch.
    model.set_weights(model.get_weights())


def _train_epoch(
    model: keras.Model, examples: Examples, phase: Phase, seed: int, epoch: int
) -> dict[str, float]:
    batches = epoch_batches(
        examples,
        batch_size=phase.batch_size,
        mixup_alpha=phase.mixup_alpha,
        seed=seed,
        epoch=epoch,
    )
    steps = -(-examples.epoch_size // phase.batch_size)
    bar = tqdm(batches, total=steps, unit="batch", desc=f"epoch {epoch + 1}", leave=False)
    return _mean(
        (current().train_on_batch(model, x, y, examples.weights_of(y)), len(x)) for x, y in bar
    )


def _epoch_row(
    model: keras.Model, train: Examples, val: Examples, phase: Phase, seed: int, epoch: int
) -> Row:
    started = time.monotonic()
    current().share_weights(model)
    rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    trained = _train_epoch(model, train, phase, seed, epoch)
    measured = _measure_averaged(model, val, bool(phase.ema_momentum))
    row = {
        "epoch": epoch + 1,
        **trained,
        **{f"val_{name}": value for name, value in measured.items()},
        "learning_rate": rate,
        "seconds": round(time.monotonic() - started, 3),
    }
    return current().agree(row)


def _decide(callbacks: list[keras.callbacks.Callback], row: Row, epoch: int) -> None:
    for callback in callbacks:
        callback.on_epoch_end(epoch, dict(row))


def _stopped(callbacks: list[keras.callbacks.Callback]) -> bool:
    # Asked of the callback, not of `model.stop_training`: the answer outlives a restart.
    return any(getattr(callback, "stopped_epoch", 0) > 0 for callback in callbacks)


def train(
    model: keras.Model,
    splits: tuple[Examples, Examples],
    phase: Phase,
    *,
    seed: int,
    first_epoch: int,
    resume: Path,
    on_epoch: Callable[[Row], None],
) -> Trained:
    """Train until the last epoch or early stopping; `model` then has the best weights.

    Args:
        model: features to logits; what trains is set on its layers.
        splits: train and val.
        phase: the settings.
        seed: of order, views and mixing.
        first_epoch: number of epochs before this phase.
        resume: the checkpoint file; a run that finds one goes on from it, to the same weights as
            an undisturbed run on the same machine.
        on_epoch: called with each row of the history, restored ones first.
    """
    train_split, val_split = splits
    compile_model(model, phase, train_split)
    callbacks = _callbacks(phase, model)
    current().share_file(resume)
    history = checkpoint.restore(resume, model, callbacks) if resume.is_file() else []
    for row in history:
        on_epoch(row)
    for epoch in range(first_epoch + len(history), first_epoch + phase.epochs):
        if _stopped(callbacks):
            break
        row = _epoch_row(model, train_split, val_split, phase, seed, epoch)
        _decide(callbacks, row, epoch)
        history.append(row)
        checkpoint.save(resume, model, callbacks, history)
        on_epoch(row)
    return _finish(model, splits, callbacks, history)


def _finish(
    model: keras.Model,
    splits: tuple[Examples, Examples],
    callbacks: list[keras.callbacks.Callback],
    history: list[Row],
) -> Trained:
    for callback in callbacks:
        callback.on_train_end()
    _take_averages(model)
    stopping = [c for c in callbacks if isinstance(c, keras.callbacks.EarlyStopping)]
    best = stopping[0].best_epoch + 1 if stopping else int(history[-1]["epoch"])
    metrics: dict[str, float] = {}
    for name, split in zip(("train", "val"), splits, strict=True):
        measured = measure(model, split, _sample(split))
        metrics |= {f"{name}_{key}": value for key, value in measured.items()}
    if not np.isfinite(metrics["train_loss"]):
        raise SortlineError(
            "The training loss is not finite: the learning rate is too large for this network."
        )
    return Trained(history, best, metrics)
