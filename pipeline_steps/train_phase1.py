"""Phase 1: the head alone learns, on the pooled features of the frozen backbone.

Reads: `artifacts/manifest.parquet`, `artifacts/views.parquet`, `data/`, the pretrained weights.
Writes: `artifacts/phase1/` (weights.safetensors, facts.json), `reports/train_phase1/`.
Refuses: weights that cannot be had or do not fit; an empty split.
"""

import time
from typing import Any

import keras

from pipeline_steps.artifacts import Paths
from pipeline_steps.entry import step_main
from pipeline_steps.models.features import identity_of
from pipeline_steps.models.loop import Trained
from pipeline_steps.models.network import build_network
from pipeline_steps.models.phase import (
    PhaseRun,
    examples_of,
    read_dataset,
    run_phase,
)
from pipeline_steps.models.weights import LoadedWeights, load_pretrained
from pipeline_steps.params import Params

STAGE = "train_phase1"


def pooled_extractor(network: keras.Model) -> keras.Model:
    """Pixels to pooled features: the network without its head."""
    return keras.Model(network.input, network.get_layer("pooling").output, name="pooled")


def _facts(params: Params, labels: tuple[str, ...], weights: LoadedWeights) -> dict[str, Any]:
    return {
        "labels": list(labels),
        "architecture": params.backbone.architecture,
        "weights": weights.source,
        "weights_sha256": weights.sha256,
        "cut_layer": "pooling",
        "from_layer": None,
        "batchnorm_frozen": True,
    }


def run(params: Params, paths: Paths) -> Trained:
    """Train the head; see the module's docstring."""
    started = time.monotonic()
    dataset = read_dataset(paths)
    network = build_network(params.backbone, params.head, len(dataset.labels), params.seed)
    weights = load_pretrained(
        network.get_layer("backbone"), params.backbone, paths.state / "weights"
    )
    identity = identity_of(params.backbone, weights.sha256, params.head.pooling, params.seed)
    splits = examples_of(dataset, pooled_extractor(network), identity, params, paths)
    network.get_layer("backbone").trainable = False
    job = PhaseRun(
        stage=STAGE,
        network=network,
        trained=network.get_layer("head"),
        phase=params.train_phase1,
        first_epoch=0,
        facts=_facts(params, dataset.labels, weights),
        started=started,
    )
    inputs = {"features": [identity, params.features.storage], "head": params.head.model_dump()}
    return run_phase(job, splits, params.seed, paths, data=dataset.digest(), **inputs)


def main() -> None:
    """Run the step in the current folder."""
    step_main(STAGE, run)


if __name__ == "__main__":
    main()
