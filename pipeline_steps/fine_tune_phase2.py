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
from typing import Any, Self

import keras
from pydantic import model_validator

from sortline.core.entry import step_main
from sortline.core.files import read_json, sha256_file
from sortline.core.paths import Paths
from sortline.training import parts
from sortline.training.cuts import first_trained, set_trainable_from, worthwhile_cut
from sortline.training.features import identity_of
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


def phase_runs(
    network: keras.Model, before: dict[str, Any], dataset: Dataset, params: Params, paths: Paths
) -> Iterator[PhaseRun]:
    """Each phase, set up when the one before it has trained; `before`: facts of phase 1.

    Raises:
        ParamsError: a phase starts at a layer that the backbone does not have.
    """
    backbone, start = network.get_layer("backbone"), before["start"]
    phases, name = params.fine_tune_phase2.phases, params.backbone.architecture
    firsts = [first_trained(backbone, phase.from_layer, name) for phase in phases]
    moved = len(backbone.layers)  # Layers from here on are no longer the pretrained ones.
    if start["champion"]:  # It has been through all phases before: shorter and gentler ones do.
        moved = min(firsts, default=moved)
        shared = {"epochs": start["epochs"], "warmup_epochs": 0}
        rates = [phase.learning_rate * start["rate"] for phase in phases]
        phases = [
            phase.model_copy(update={**shared, "learning_rate": rate})
            for phase, rate in zip(phases, rates, strict=True)
        ]
    for phase, first in zip(phases, firsts, strict=True):
        set_trainable_from(backbone, first, batchnorm=phase.batchnorm == "train")
        cut = worthwhile_cut(backbone, first)
        facts = parts.described(backbone, cut, first)
        print(f"{STAGE}: trains from {facts['from_layer']}, cut at {facts['cut_layer']}")
        extractor, uses = None, None
        if cut:
            frozen, layer = parts.frozen_part(network, cut), backbone.layers[cut].name
            weights = before["weights_sha256"] if cut < moved else digest_weights(frozen)
            identity = identity_of(params.backbone, weights, layer, params.seed)
            extractor = extractor_of(frozen, identity)
            (train, val), uses = examples_of(dataset, extractor, params, paths)
        else:
            train, val = pixels_of(dataset, params)
        if start["replay"] is not None:
            new = paths.new_images.read_text(encoding="ascii").split()
            train = train.replayed(frozenset(new), start["replay"])
        yield PhaseRun(
            parts.trained_part(network, cut),
            phase,
            (train, val),
            facts,
            learnt_from(params, extractor),
            uses,
        )
        moved = min(moved, first)


def run(params: Params, paths: Paths) -> Trained:
    """Train every phase, on the devices of `distribution`; see the module's docstring."""
    # First of all: workers find each other before TensorFlow does anything else.
    with opened(params.distribution, paths) as own:
        started = time.monotonic()
        dataset = read_dataset(own)
        network, _ = load_network(own.phase1, params)
        before = read_json(own.phase1 / "facts.json", "dvc repro train_phase1")
        names = ("labels", "architecture", "weights", "weights_sha256", "start")
        stage = StageRun(
            STAGE,
            network,
            facts={name: before[name] for name in names},
            inputs={
                "data": dataset.digest(),
                "start": sha256_file(own.phase1 / "weights.safetensors"),
                "replay": before["start"]["replay"],
            },
            before=before,
            seed=params.seed,
            start=own.phase1,
            started=started,
        )
        return run_stage(stage, phase_runs(network, before, dataset, params, own), own)


def main() -> None:
    """Run the step in the current folder."""
    step_main(STAGE, Params, run)


if __name__ == "__main__":
    main()
