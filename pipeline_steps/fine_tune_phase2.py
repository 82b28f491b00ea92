"""Phase 2, or as many as `fine_tune_phase2.phases` lists: the backbone learns with the head.

In each, only the part above its cut runs: its inputs, the frozen part's features, are computed
once. Where everything trains, its inputs are pixels. Without any phase, phase 1 is the result.

Reads: `artifacts/manifest.parquet`, `artifacts/views.parquet`, `data/`, `artifacts/phase1/`,
`artifacts/start/`.
Writes: `artifacts/phase2/` (weights.safetensors, validation.parquet, facts.json),
`reports/fine_tune_phase2/`.
Refuses: a layer that the backbone does not have; an empty split.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Self

import keras
import numpy as np
from pydantic import model_validator

from sortline.core.entry import step_main
from sortline.core.errors import ParamsError
from sortline.core.files import read_json, sha256_file
from sortline.core.paths import Paths
from sortline.training.batches import Examples, Replay
from sortline.training.cuts import (
    first_trained,
    head_of,
    set_trainable_from,
    tail_of,
    worthwhile_cut,
)
from sortline.training.features import Extractor, identity_of
from sortline.training.folding import fold_batchnorm
from sortline.training.loop import Trained
from sortline.training.network import load_network
from sortline.training.phase import (
    Dataset,
    examples_of,
    extractor_of,
    learnt_from,
    pixels_of,
    read_dataset,
)
from sortline.training.phase_settings import (
    Distribution,
    FineTune,
    FineTunePhase2,
    TrainingParams,
    refuse_soft_targets,
)
from sortline.training.stage import PhaseRun, StageRun, run_stage
from sortline.training.strategy import opened
from sortline.training.weights import digest_weights

STAGE = "fine_tune_phase2"


class Params(TrainingParams):
    """The sections of params.yaml that this step reads, with those of every phase."""

    fine_tune_phase2: FineTunePhase2
    distribution: Distribution

    @model_validator(mode="after")
    def _refuse_ignored_settings(self) -> Self:
        refuse_soft_targets(self.objective, self.fine_tune_phase2.phases)
        return self


def frozen_part(network: keras.Model, cut: int) -> keras.Model:
    """Pixels in 0..255 to the features at layer `cut` of the backbone."""
    features = head_of(network.get_layer("backbone"), cut)(network.get_layer("scale").output)
    return keras.Model(network.input, features, name="frozen_part")


def trained_part(network: keras.Model, cut: int) -> keras.Model:
    """Features at layer `cut` (0: pixels) to logits; shares its variables with `network`."""
    tail = fold_batchnorm(tail_of(network.get_layer("backbone"), cut))
    inputs = features = keras.Input(tail.input_shape[1:], name="features")
    if cut == 0:
        inputs = keras.Input(network.input_shape[1:], name="pixels")
        features = keras.Model(network.input, network.get_layer("scale").output)(inputs)
    pooled = network.get_layer("pooling")(tail(features))
    return keras.Model(inputs, network.get_layer("head")(pooled), name="trained_part")


def _name(backbone: keras.Model, index: int) -> str:
    # Keras numbers inputs by how many there have been in the process: no name to resume by.
    return str(backbone.layers[index].name) if index else "input"


def _resolved(network: keras.Model, cut: int, first: int) -> dict[str, Any]:
    backbone = network.get_layer("backbone")
    frozen = [
        not layer.trainable
        for layer in backbone.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    return {
        "cut_layer": _name(backbone, cut),
        "from_layer": _name(backbone, first),
        "from_layer_index": first,
        "batchnorm_frozen": all(frozen),
    }


def _replayed(train: Examples, start: dict[str, Any], paths: Paths) -> Examples:
    """The training split, of which an epoch has all images, or the new ones and some others."""
    if start["replay"] is None:
        return train
    if train.sampled:
        raise ParamsError(
            "train.warm_replay and objective.balance sampling both draw an epoch: set"
            " warm_replay to null, or objective.balance: none or class_weights."
        )
    new = set(paths.new_images.read_text(encoding="ascii").split())
    plain = [train.views.sha256[row] for row in train.views.first]
    is_new = np.array([each in new for each in plain])
    return replace(train, replay=Replay(is_new, start["replay"]))


def _settings(phase: FineTune, start: dict[str, Any]) -> FineTune:
    """The phase as params have it; shorter and gentler for weights that have been through it."""
    if not start["champion"]:
        return phase
    changes = {
        "epochs": start["epochs"],
        "learning_rate": phase.learning_rate * start["rate"],
        "warmup_epochs": 0,
    }
    return phase.model_copy(update=changes)


def _extractor(
    network: keras.Model, cut: int, moved: int, weights: str | None, params: Params
) -> Extractor:
    """Of features at the cut; those below `moved` are still the pretrained ones."""
    frozen, name = frozen_part(network, cut), network.get_layer("backbone").layers[cut].name
    if moved <= cut:
        weights = digest_weights(frozen)
    return extractor_of(frozen, identity_of(params.backbone, weights, name, params.seed))


def phase_runs(
    network: keras.Model, before: dict[str, Any], dataset: Dataset, params: Params, paths: Paths
) -> Iterator[PhaseRun]:
    """Each phase, set up when the one before it has trained.

    Args:
        network: the classifier, with the weights of phase 1.
        before: facts of phase 1.
        dataset: rows of both splits.
        params: the settings.
        paths: of the graph.

    Raises:
        ParamsError: a phase starts at a layer that the backbone does not have.
    """
    backbone, phases = network.get_layer("backbone"), params.fine_tune_phase2.phases
    name = params.backbone.architecture
    firsts = [first_trained(backbone, each.from_layer, name) for each in phases]
    # A champion has been through all phases before.
    moved = min(firsts) if before["start"]["champion"] and firsts else len(backbone.layers)
    for phase, first in zip(phases, firsts, strict=True):
        set_trainable_from(backbone, first, batchnorm=phase.batchnorm == "train")
        cut = worthwhile_cut(backbone, first)
        print(f"{STAGE}: trains from {_name(backbone, first)}, cut at {_name(backbone, cut)}")
        extractor, uses = None, None
        if cut:
            extractor = _extractor(network, cut, moved, before["weights_sha256"], params)
            (train, val), uses = examples_of(dataset, extractor, params, paths)
        else:
            train, val = pixels_of(dataset, params)
        yield PhaseRun(
            trained_part(network, cut),
            _settings(phase, before["start"]),
            (_replayed(train, before["start"], paths), val),
            _resolved(network, cut, first),
            learnt_from(params, extractor),
            uses,
        )
        moved = min(moved, first)


def run(params: Params, paths: Paths) -> Trained:
    """Train every phase, on the devices of `distribution`; see the module's docstring."""
    # First of all: workers find each other before TensorFlow does anything else.
    with opened(params.distribution, paths) as own:
        return _train(params, own)


def _train(params: Params, paths: Paths) -> Trained:
    started = time.monotonic()
    dataset = read_dataset(paths)
    network, _ = load_network(paths.phase1, params)
    before = read_json(paths.phase1 / "facts.json", "dvc repro train_phase1")
    kept = ("labels", "architecture", "weights", "weights_sha256", "start")
    stage = StageRun(
        STAGE,
        network,
        facts={name: before[name] for name in kept},
        inputs={
            "data": dataset.digest(),
            "start": sha256_file(paths.phase1 / "weights.safetensors"),
            "replay": before["start"]["replay"],
        },
        before=before,
        seed=params.seed,
        start=paths.phase1,
        started=started,
    )
    return run_stage(stage, phase_runs(network, before, dataset, params, paths), paths)


def main() -> None:
    """Run the step in the current folder."""
    step_main(STAGE, Params, run)


if __name__ == "__main__":
    main()
