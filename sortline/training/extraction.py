"""Features of phase 1's frozen network, and the filling of their cache before training."""

import keras

from sortline.core.paths import Paths
from sortline.training.cuts import first_trained, worthwhile_cut
from sortline.training.features import Extractor, features_of_splits, identity_of, part_of
from sortline.training.network import build_network
from sortline.training.network_settings import NetworkParams
from sortline.training.phase import extractor_of, read_dataset
from sortline.training.phase_settings import PhasesParams
from sortline.training.weights import LoadedWeights, load_pretrained


def pretrained_network(
    params: NetworkParams, paths: Paths, classes: int
) -> tuple[keras.Model, LoadedWeights]:
    """Backbone with its pretrained weights, and a new head."""
    network = build_network(params.backbone, params.head, classes, params.seed)
    backbone = network.get_layer("backbone")
    return network, load_pretrained(backbone, params.backbone, paths.state / "weights")


def pooled_and_cut(network: keras.Model, cut: int) -> keras.Model:
    """Pixels in 0..255 to pooled features and, on the way, those at layer `cut` of the backbone."""
    backbone = network.get_layer("backbone")
    both = keras.Model(backbone.input, [backbone.output, backbone.layers[cut].output], name="both")
    last, at_cut = both(network.get_layer("scale").output)
    return keras.Model(network.input, [network.get_layer("pooling")(last), at_cut], name="pooled")


def _first_cut(network: keras.Model, params: PhasesParams) -> int:
    """The layer at which the phase after this one will ask for features; 0: at none.

    Raises:
        ParamsError: a phase starts at a layer that the backbone does not have.
    """
    backbone, name = network.get_layer("backbone"), params.backbone.architecture
    phases = params.fine_tune_phase2.phases
    cuts = [worthwhile_cut(backbone, first_trained(backbone, p.from_layer, name)) for p in phases]
    return cuts[0] if cuts else 0


def phase1_extractor(network: keras.Model, weights: str | None, params: PhasesParams) -> Extractor:
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


def fill_cache(params: PhasesParams, paths: Paths, part: int, parts: int) -> int:
    """Compute features before training asks for them; returns how many were not there.

    Args:
        params: the settings that will train.
        paths: of the graph; the manifest and the views have to be there.
        part: which part of the rows, from 0.
        parts: of how many; each can be computed by another process or machine.
    """
    dataset = read_dataset(paths)
    network, weights = pretrained_network(params, paths, len(dataset.labels))
    if params.train_phase1 is None and _first_cut(network, params) == 0:
        return 0  # Training will ask for pixels alone.
    extractor = phase1_extractor(network, weights.sha256, params)
    some = [part_of(views, part, parts) for views in (dataset.train, dataset.val)]
    asked = [views for views in some if views.files]
    extracted = features_of_splits(asked, extractor, params.features, paths.features)
    return sum(use.computed for _, use in extracted)
