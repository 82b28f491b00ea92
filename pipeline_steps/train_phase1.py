"""Phase 1: the head alone learns, on the pooled features of the frozen backbone.

When training starts from the champion (step warm_start), the head has learnt already: its network
is handed on, and this phase has no epochs. Nor has it any where `train_phase1` is null.

Reads: `artifacts/manifest.parquet`, `artifacts/views.parquet`, `artifacts/start/`, `data/`, the
pretrained weights.
Writes: `artifacts/phase1/` (weights.safetensors, facts.json, and after epochs validation.parquet),
`reports/train_phase1/`.
Refuses: weights that cannot be had or do not fit; an empty split; a head that is not for so many
classes; a layer to be fine-tuned from that the backbone does not have.
"""

import time
from typing import Any, ClassVar, Self

import keras
from pydantic import model_validator

from sortline.core.entry import step_main
from sortline.core.errors import WeightsError
from sortline.core.files import read_json, require
from sortline.core.paths import Paths
from sortline.training.extraction import phase1_extractor, pretrained_network
from sortline.training.features import Extractor
from sortline.training.loop import Trained
from sortline.training.phase import (
    Dataset,
    examples_of,
    learnt_from,
    read_dataset,
    warn_of_grey_images,
)
from sortline.training.phase_settings import (
    Phase,
    PhasesParams,
    refuse_no_phase,
    refuse_soft_targets,
)
from sortline.training.stage import PhaseRun, StageRun, run_stage
from sortline.training.weights import LoadedWeights, load_weights

STAGE = "train_phase1"


class Params(PhasesParams):
    """The sections of params.yaml that this step reads, with seed, backbone, head and objective.

    Phase 2 is read ahead: the features that it will ask for cost nothing along the way.
    """

    changes_no_result: ClassVar[frozenset[str]] = frozenset({"fine_tune_phase2"})

    @model_validator(mode="after")
    def _refuse_ignored_settings(self) -> Self:
        refuse_no_phase(self.train_phase1, self.fine_tune_phase2)
        refuse_soft_targets(self.objective, [self.train_phase1])
        return self


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


def _champions(network: keras.Model, weights: LoadedWeights, start: Any, paths: Paths) -> None:
    """Put the champion's weights into the network."""
    if start["weights_sha256"] != weights.sha256:
        raise WeightsError(
            "The pretrained weights are others than those with which the champion was compared."
            " Run `dvc repro --force warm_start`, then `dvc repro`."
        )
    load_weights(network, require(paths.start / "weights.safetensors", "dvc repro warm_start"))


def _run_of(
    phase: Phase,
    network: keras.Model,
    extractor: Extractor,
    dataset: Dataset,
    params: Params,
    paths: Paths,
) -> PhaseRun:
    splits, uses = examples_of(dataset, extractor, params, paths)
    network.get_layer("backbone").trainable = False
    head = network.get_layer("head")
    return PhaseRun(head, phase, splits, {}, learnt_from(params, extractor), uses)


def run(params: Params, paths: Paths) -> Trained:
    """Train the head; see the module's docstring."""
    started = time.monotonic()
    start = read_json(paths.start / "facts.json", "dvc repro warm_start")
    dataset = read_dataset(paths)
    warn_of_grey_images(dataset, params)
    network, weights = pretrained_network(params, paths, len(dataset.labels))
    extractor = phase1_extractor(network, weights.sha256, params)
    if start["champion"]:
        _champions(network, weights, start, paths)
    phase = None if start["champion"] else params.train_phase1
    runs = [_run_of(phase, network, extractor, dataset, params, paths)] if phase else []
    stage = StageRun(
        STAGE,
        network,
        facts={**_facts(params, dataset.labels, weights), "start": start},
        inputs={"data": dataset.digest()},
        before={"last_epoch": 0, "best_epoch": 0, "metrics": {}},
        seed=params.seed,
        start=paths.start,
        started=started,
    )
    return run_stage(stage, runs, paths)


def main() -> None:
    """Run the step in the current folder."""
    step_main(STAGE, Params, run)


if __name__ == "__main__":
    main()
