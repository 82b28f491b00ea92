"""A training step: its phases one after the other, and the record of them."""

import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from sortline.core.files import atomic_dir, remove, sha256_json, write_json
from sortline.core.paths import Paths
from sortline.training.batches import Examples
from sortline.training.curves import Curves
from sortline.training.features import Use
from sortline.training.logits import NAME, write_logits
from sortline.training.loop import Trained, evaluation_batch, train
from sortline.training.phase import Splits
from sortline.training.phase_settings import Phase
from sortline.training.weights import save_weights, variables_by_name

# Raise it when a checkpoint of before may not be gone on from: another order of images, another
# step, other contents.
_TRAINER = 1


@dataclass(frozen=True)
class PhaseRun:
    """One phase, ready to train.

    Attributes:
        trained: the part that runs, features or pixels to logits; it shares the network's layers.
        phase: its settings.
        splits: what it learns from: train and val.
        facts: what was resolved, recorded beside the weights.
        inputs: what the result depends on besides: a checkpoint of other inputs is not gone on
            from.
        uses: of the feature cache, for train and val; None for pixels.
    """

    trained: keras.Model
    phase: Phase
    splits: Splits
    facts: dict[str, Any]
    inputs: dict[str, Any]
    uses: tuple[Use, Use] | None


@dataclass(frozen=True)
class StageRun:
    """A training step.

    Attributes:
        name: of the step.
        network: the whole classifier.
        facts: recorded beside the weights.
        inputs: what the result depends on besides what each phase adds.
        before: epochs_run, last_epoch, best_epoch and metrics of what it starts from.
        seed: of order, views and mixing.
        start: folder of what it starts from, whose logits are handed on when nothing trains.
        started: when the step began, of `time.monotonic()`.
    """

    name: str
    network: keras.Model
    facts: dict[str, Any]
    inputs: dict[str, Any]
    before: dict[str, Any]
    seed: int
    start: Path
    started: float


@dataclass(frozen=True)
class _Done:
    facts: dict[str, Any]
    trained: Trained
    model: keras.Model
    val: Examples
    uses: Sequence[Use]
    resume: Path


def _facts_of(network: keras.Model, run: PhaseRun, trained: Trained) -> dict[str, Any]:
    sizes = {name: int(np.prod(v.shape)) for name, v in variables_by_name(network).items()}
    training = sum(int(np.prod(v.shape)) for v in run.trained.trainable_variables)
    return {
        **run.facts,
        "parameters": sum(sizes.values()),
        "trainable_parameters": training,
        "epochs_run": len(trained.history),
        "last_epoch": int(trained.history[-1]["epoch"]),
        "best_epoch": trained.best_epoch,
        "rows": {
            name: len(split.targets)
            for name, split in zip(("train", "val"), run.splits, strict=True)
        },
        "epoch_images": run.splits[0].epoch_size,
        "metrics": trained.metrics,
    }


def _trainer() -> dict[str, Any]:
    """What trains, as `pixels.fingerprint` has what decodes: a change of it starts again."""
    return {
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "trainer": _TRAINER,
    }


def _train_all(
    stage: StageRun, runs: Iterable[PhaseRun], paths: Paths, curves: Curves
) -> list[_Done]:
    # The checkpoints of finished phases stay until the step's outputs are in place: a run that is
    # killed in a later phase goes through them again without training.
    done: list[_Done] = []
    key = sha256_json([stage.name, stage.seed, stage.inputs, _trainer()])
    epochs = int(stage.before["last_epoch"])
    for run in runs:
        key = sha256_json([key, run.phase.model_dump(), run.facts, epochs, run.inputs])
        resume = paths.state / "resume" / f"{stage.name}-{key[:32]}.safetensors"
        with curves.tensorboard(paths.tensorboard / f"{stage.name}-{key[:12]}"):
            trained = train(
                run.trained,
                run.splits,
                run.phase,
                seed=stage.seed,
                first_epoch=epochs,
                resume=resume,
                on_epoch=curves.add,
            )
        facts, val = _facts_of(stage.network, run, trained), run.splits[1]
        done.append(_Done(facts, trained, run.trained, val, run.uses or (), resume))
        epochs = done[-1].facts["last_epoch"]
    return done


def run_stage(stage: StageRun, runs: Iterable[PhaseRun], paths: Paths) -> Trained:
    """Train every phase, then write `artifacts/phaseN` and `reports/STAGE`, each whole.

    Ends with the reports in place, then the weights, then the checkpoints removed: a kill in
    between is followed by a run that finds the checkpoints and only writes again. Without any
    phase, what it starts from is handed on.

    Args:
        stage: the step.
        runs: its phases in order; the next one is asked for when the one before has trained.
        paths: of the graph.
    """
    with atomic_dir(paths.reports / stage.name) as reports:
        done = _train_all(stage, runs, paths, Curves(reports / "live"))
        history = [row for phase in done for row in phase.trained.history]
        rows = pd.DataFrame(history) if history else pd.DataFrame(columns=["epoch"])
        rows.to_csv(reports / "history.csv", index=False)
        seconds = time.monotonic() - stage.started
        write_json(reports / "seconds.json", {"seconds": round(seconds, 1)})
        write_json(reports / "features.json", _uses(done))
    _write_artifact(stage, done, paths)
    for phase in done:
        remove(phase.resume)
    if not done:
        return Trained([], int(stage.before["best_epoch"]), stage.before["metrics"])
    return Trained(history, done[-1].trained.best_epoch, done[-1].trained.metrics)


def _uses(done: list[_Done]) -> dict[str, Any]:
    """By split, and from the second phase on by its number."""
    uses: dict[str, Any] = {}
    for number, phase in enumerate(done, start=1):
        for name, use in zip(("train", "val"), phase.uses, strict=False):
            uses[name if number == 1 else f"{name}_{number}"] = asdict(use)
    return uses


def _write_logits(stage: StageRun, done: list[_Done], folder: Path) -> None:
    if done:
        model, val = done[-1].model, done[-1].val
        batches = [model.predict_on_batch(x) for x, _ in val.plain(evaluation_batch(model))]
        write_logits(folder, _plain_images(val), np.concatenate(batches))
    elif (stage.start / NAME).is_file():
        shutil.copyfile(stage.start / NAME, folder / NAME)


def _plain_images(val: Examples) -> list[str]:
    return [val.views.sha256[row] for row in val.views.first]


def _write_artifact(stage: StageRun, done: list[_Done], paths: Paths) -> None:
    target = paths.phase1 if stage.name == "train_phase1" else paths.phase2
    last = done[-1].facts if done else stage.before
    facts = {
        **stage.facts,
        **last,
        "epochs_run": sum(phase.facts["epochs_run"] for phase in done),
        "phases": [phase.facts for phase in done],
    }
    with atomic_dir(target) as folder:
        save_weights(stage.network, folder / "weights.safetensors")
        _write_logits(stage, done, folder)
        write_json(folder / "facts.json", facts)
