"""Phase 2: the backbone from a layer upwards learns with the head, at a smaller rate.

Only the part above the cut runs: its inputs, the frozen part's features, are computed once.

Reads: `artifacts/manifest.parquet`, `artifacts/views.parquet`, `data/`, `artifacts/phase1/`,
`artifacts/start/`.
Writes: `artifacts/phase2/` (weights.safetensors, validation.parquet, facts.json),
`reports/fine_tune_phase2/`.
Refuses: a layer that the backbone does not have; an empty split.
"""

import time
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from pipeline_steps.artifacts import Paths, read_json, sha256_file
from pipeline_steps.entry import step_main
from pipeline_steps.models.backbones import (
    cut_below,
    head_of,
    layer_index,
    set_trainable_from,
    tail_of,
)
from pipeline_steps.models.batches import Examples, Replay
from pipeline_steps.models.features import identity_of
from pipeline_steps.models.folding import fold_batchnorm
from pipeline_steps.models.loop import Trained
from pipeline_steps.models.network import load_network
from pipeline_steps.models.phase import (
    PhaseRun,
    examples_of,
    extractor_of,
    learnt_from,
    read_dataset,
    run_phase,
)
from pipeline_steps.models.strategy import opened
from pipeline_steps.params import FineTunePhase2, Params

STAGE = "fine_tune_phase2"


def frozen_part(network: keras.Model, cut: int) -> keras.Model:
    """Pixels in 0..255 to the features at layer `cut` of the backbone."""
    features = head_of(network.get_layer("backbone"), cut)(network.get_layer("scale").output)
    return keras.Model(network.input, features, name="frozen_part")


def trained_part(network: keras.Model, cut: int) -> keras.Model:
    """Features at layer `cut` to logits; shares its variables with `network`."""
    tail = fold_batchnorm(tail_of(network.get_layer("backbone"), cut))
    features = keras.Input(tail.input_shape[1:], name="features")
    pooled = network.get_layer("pooling")(tail(features))
    return keras.Model(features, network.get_layer("head")(pooled), name="trained_part")


def _facts(before: dict[str, Any], network: keras.Model, cut: int, first: int) -> dict[str, Any]:
    layers = network.get_layer("backbone").layers
    frozen = [
        not layer.trainable
        for layer in layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    kept = ("labels", "architecture", "weights", "weights_sha256", "start")
    return {
        **{name: before[name] for name in kept},
        "cut_layer": layers[cut].name,
        "from_layer": layers[first].name,
        "from_layer_index": first,
        "batchnorm_frozen": all(frozen),
    }


def _replayed(train: Examples, start: dict[str, Any], paths: Paths) -> Examples:
    """The training split, of which an epoch has all images, or the new ones and some others."""
    if start["replay"] is None:
        return train
    new = set(paths.new_images.read_text(encoding="ascii").split())
    plain = [train.views.sha256[row] for row in train.views.first]
    is_new = np.array([each in new for each in plain])
    return replace(train, replay=Replay(is_new, start["replay"]))


def _settings(phase: FineTunePhase2, start: dict[str, Any]) -> FineTunePhase2:
    """The phase as params have it; shorter and gentler for weights that have been through it."""
    if not start["champion"]:
        return phase
    changes = {
        "epochs": start["epochs"],
        "learning_rate": phase.learning_rate * start["rate"],
        "warmup_epochs": 0,
    }
    return phase.model_copy(update=changes)


def run(params: Params, paths: Paths) -> Trained:
    """Train tail and head, on the devices of `distribution`; see the module's docstring."""
    # First of all: workers find each other before TensorFlow does anything else.
    with opened(params.distribution, paths) as own:
        return _train(params, own)


def _train(params: Params, paths: Paths) -> Trained:
    started = time.monotonic()
    dataset = read_dataset(paths)
    network, _ = load_network(paths.phase1, params)
    before = read_json(paths.phase1 / "facts.json", "dvc repro train_phase1")
    backbone = network.get_layer("backbone")
    first = layer_index(backbone, params.fine_tune_phase2.from_layer)
    cut = cut_below(backbone, first)
    identity = identity_of(
        params.backbone, before["weights_sha256"], backbone.layers[cut].name, params.seed
    )
    extractor = extractor_of(frozen_part(network, cut), identity)
    (train, val), uses = examples_of(dataset, extractor, params, paths)
    splits = (_replayed(train, before["start"], paths), val)
    set_trainable_from(backbone, first)
    job = PhaseRun(
        stage=STAGE,
        network=network,
        trained=trained_part(network, cut),
        phase=_settings(params.fine_tune_phase2, before["start"]),
        first_epoch=before["last_epoch"],
        facts=_facts(before, network, cut, first),
        uses=uses,
        started=started,
    )
    inputs = {
        **learnt_from(extractor, params),
        "start": sha256_file(paths.phase1 / "weights.safetensors"),
        "replay": before["start"]["replay"],
    }
    return run_phase(job, splits, params.seed, paths, data=dataset.digest(), **inputs)


def main() -> None:
    """Run the step in the current folder."""
    step_main(STAGE, run)


if __name__ == "__main__":
    main()
