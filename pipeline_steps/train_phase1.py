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
from typing import Any

import keras

from pipeline_steps.artifacts import Paths, read_json, require
from pipeline_steps.entry import step_main
from pipeline_steps.errors import WeightsError
from pipeline_steps.models.backbones import first_trained, worthwhile_cut
from pipeline_steps.models.features import Extractor, features_of_splits, identity_of, part_of
from pipeline_steps.models.loop import Trained
from pipeline_steps.models.network import build_network
from pipeline_steps.models.phase import (
    Dataset,
    examples_of,
    extractor_of,
    learnt_from,
    read_dataset,
    say_what_grey_images_become,
)
from pipeline_steps.models.stage import PhaseRun, StageRun, run_stage
from pipeline_steps.models.weights import LoadedWeights, load_pretrained, load_weights
from pipeline_steps.params import Params, Phase

STAGE = "train_phase1"


def pooled_and_cut(network: keras.Model, cut: int) -> keras.Model:
    """Pixels in 0..255 to pooled features and, on the way, those at layer `cut` of the backbone."""
    backbone = network.get_layer("backbone")
    both = keras.Model(backbone.input, [backbone.output, backbone.layers[cut].output], name="both")
    last, at_cut = both(network.get_layer("scale").output)
    return keras.Model(network.input, [network.get_layer("pooling")(last), at_cut], name="pooled")


def _first_cut(network: keras.Model, params: Params) -> int:
    """The layer at which the phase after this one will ask for features; 0: at none.

    Raises:
        ParamsError: a phase starts at a layer that the backbone does not have.
    """
    backbone, name = network.get_layer("backbone"), params.backbone.architecture
    phases = params.fine_tune_phase2.phases
    cuts = [worthwhile_cut(backbone, first_trained(backbone, p.from_layer, name)) for p in phases]
    return cuts[0] if cuts else 0


def _extractor(network: keras.Model, weights: str | None, params: Params) -> Extractor:
    """Of pooled features, and of what phase 2 will ask for: it costs nothing along the way.

    The layer at which phase 2 starts is no parameter of this step: it changes no result.
    """
    cut = _first_cut(network, params)
    pooled, at_cut = (
        identity_of(params.backbone, weights, name, params.seed)
        for name in (params.head.pooling, network.get_layer("backbone").layers[cut].name)
    )
    if cut == 0:  # Those would be pixels.
        return extractor_of(keras.Model(network.input, network.get_layer("pooling").output), pooled)
    return extractor_of(pooled_and_cut(network, cut), pooled, at_cut)


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


def _pretrained(params: Params, paths: Paths, classes: int) -> tuple[keras.Model, LoadedWeights]:
    network = build_network(params.backbone, params.head, classes, params.seed)
    backbone = network.get_layer("backbone")
    return network, load_pretrained(backbone, params.backbone, paths.state / "weights")


def fill_cache(params: Params, paths: Paths, part: int, parts: int) -> int:
    """Compute features before training asks for them; returns how many were not there.

    Args:
        params: the settings that will train.
        paths: of the graph; the manifest and the views have to be there.
        part: which part of the rows, from 0.
        parts: of how many; each can be computed by another process or machine.
    """
    dataset = read_dataset(paths)
    network, weights = _pretrained(params, paths, len(dataset.labels))
    if params.train_phase1 is None and _first_cut(network, params) == 0:
        return 0  # Training will ask for pixels alone.
    extractor = _extractor(network, weights.sha256, params)
    some = [part_of(views, part, parts) for views in (dataset.train, dataset.val)]
    asked = [views for views in some if views.files]
    found = features_of_splits(asked, extractor, params.features, paths.features)
    return sum(use.computed for _, use in found)


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
    say_what_grey_images_become(dataset, params)
    network, weights = _pretrained(params, paths, len(dataset.labels))
    extractor = _extractor(network, weights.sha256, params)
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
    step_main(STAGE, run)


if __name__ == "__main__":
    main()
