"""The champion's weights, taken out of its SavedModel and put into a network that can train."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from sortline.core.paths import Paths
from sortline.model.local_model import Served, load_model
from sortline.training.calibration import probabilities
from sortline.training.cuts import first_trained, worthwhile_cut
from sortline.training.network import build_network
from sortline.training.network_settings import NetworkParams
from sortline.training.phase_settings import FineTune
from sortline.training.weights import load_pretrained, save_weights

_PROBES = 4
_MAX_DIFFERENCE = 1e-4


def _misfit(network: keras.Model, served: Served, params: NetworkParams) -> str | None:
    """Load the champion's weights; why they are not this network's, or None."""
    size_px = served.contract.preprocessing.image_size_px
    if size_px != params.backbone.image_size_px:
        return f"the champion sees {size_px} px, params say {params.backbone.image_size_px}"
    champion = served.variables()
    variables = {v.path: v for v in network.variables if v.dtype == "float32"}
    shapes = {path: tuple(variable.shape) for path, variable in variables.items()}
    if shapes != {path: value.shape for path, value in champion.items()}:
        return "the champion is another network than backbone and head describe"
    for path, variable in variables.items():
        variable.assign(champion[path])
    side = params.backbone.image_size_px
    probes = np.random.default_rng(0).uniform(0, 255, (_PROBES, side, side, 3)).astype("float32")
    logits = keras.ops.convert_to_numpy(network(probes, training=False))
    ours = probabilities(logits, served.contract.temperature)
    difference = float(np.abs(served.predict_tensor(probes).probabilities - ours).max())
    return (
        None if difference < _MAX_DIFFERENCE else "its weights do not give the champion's answers"
    )


def _first_difference(network: keras.Model, pretrained: keras.Model, cut: int) -> str | None:
    pairs = zip(network.layers[: cut + 1], pretrained.layers[: cut + 1], strict=True)
    for ours, theirs in pairs:
        for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            if not np.array_equal(one, other):
                return str(ours.name)
    return None


@dataclass(frozen=True)
class Taken:
    """Whether the champion's weights could be taken.

    Attributes:
        reason: why not; None when they were.
        weights_sha256: of the pretrained weights with which its frozen layers agree.
    """

    reason: str | None
    weights_sha256: str | None = None


def start_from(
    champion: Path, params: NetworkParams, phases: Sequence[FineTune], paths: Paths, target: Path
) -> Taken:
    """Write the champion's weights to `target`, unless training cannot start from them.

    The features of the frozen layers are those of the pretrained weights, so the champion's frozen
    layers have to be the same.

    Args:
        champion: its SavedModel.
        params: the network that is to be trained.
        phases: in which it is trained.
        paths: of the graph.
        target: a file, `*.safetensors`.

    Raises:
        ArtifactError: the champion is damaged.
        WeightsError: the pretrained weights cannot be had.
    """
    served = load_model(champion)
    network = build_network(params.backbone, params.head, len(served.labels), params.seed)
    if reason := _misfit(network, served, params):
        return Taken(reason)
    pretrained = build_network(params.backbone, params.head, len(served.labels), params.seed)
    backbones = [model.get_layer("backbone") for model in (network, pretrained)]
    loaded = load_pretrained(backbones[1], params.backbone, paths.state / "weights")
    name = params.backbone.architecture
    cut = min(
        worthwhile_cut(backbones[0], first_trained(backbones[0], phase.from_layer, name))
        for phase in phases
    )
    if layer := _first_difference(backbones[0], backbones[1], cut):
        return Taken(
            f"the champion's layer {layer} is not that of backbone.weights, and would be frozen"
        )
    save_weights(network, target)
    return Taken(None, loaded.sha256)
