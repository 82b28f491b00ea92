"""Where a backbone is cut, what trains above the cut, and that the cut changes no number."""

import keras
import numpy as np
import pytest

from sortline.core.errors import ParamsError
from sortline.training.cuts import (
    build_backbone,
    cut_below,
    layer_index,
    set_trainable_from,
    tail_of,
)
from sortline.training.network import build_network
from sortline.training.network_settings import Backbone, Head
from sortline.training.parts import fold_batchnorm, frozen_part, trained_part

_REFERENCE = Backbone(architecture="mobilenet_v2", alpha=1.0, image_size_px=224, weights=None)
_SMALL = Backbone(architecture="mobilenet_v2", alpha=0.35, image_size_px=96, weights=None)
_HEAD = Head(pooling="average", batchnorm=False, hidden_units=8, dropout=0.3, activation="softmax")


@pytest.fixture(scope="module")
def backbone() -> keras.Model:
    return build_backbone(_REFERENCE)


def test_the_reference_backbone_is_the_published_one(backbone: keras.Model) -> None:
    assert len(backbone.layers) == 154
    assert backbone.count_params() == 2_257_984
    assert backbone.layers[100].name == "block_11_expand_relu"


@pytest.mark.parametrize(
    ("layer", "cut"),
    [
        (100, "block_10_project_BN"),
        ("block_11_expand", "block_10_project_BN"),
        (97, "block_10_project"),
        (2, "Conv1"),
        # Inside a residual block two tensors are alive; the narrow point is below its entry.
        ("block_12_depthwise", "block_11_add"),
    ],
)
def test_a_cut_is_crossed_by_one_tensor(backbone: keras.Model, layer: int | str, cut: str) -> None:
    index = cut_below(backbone, layer_index(backbone, layer))
    assert backbone.layers[index].name == cut


@pytest.mark.parametrize("layer", [-1, 154, "block_99", "100"])
def test_an_unknown_layer_is_refused_with_what_there_is(
    backbone: keras.Model, layer: int | str
) -> None:
    with pytest.raises(ParamsError, match="layers 0 to 153"):
        layer_index(backbone, layer)


def test_frozen_part_and_trained_part_are_the_network() -> None:
    network = build_network(_SMALL, _HEAD, 3, seed=0)
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 96, 96, 3)).astype("float32")
    whole = network.predict_on_batch(pixels)
    for layer in (100, 60, 20):
        cut = cut_below(network.get_layer("backbone"), layer)
        features = frozen_part(network, cut).predict_on_batch(pixels)
        parts = trained_part(network, cut).predict_on_batch(features)
        np.testing.assert_allclose(parts, whole, atol=1e-6)


def _one_step(folded: bool) -> list[np.ndarray]:
    network = build_network(_SMALL, _HEAD, 3, seed=0)
    backbone = network.get_layer("backbone")
    rng = np.random.default_rng(0)
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, each.shape) for each in layer.get_weights()])
    set_trainable_from(backbone, 60)
    tail = tail_of(backbone, cut_below(backbone, 60))
    model = fold_batchnorm(tail) if folded else tail
    model.compile(keras.optimizers.SGD(10.0), "mse")
    x = rng.normal(0.0, 1.0, (4, *tail.input_shape[1:])).astype("float32")
    model.train_on_batch(x, np.zeros((4, *tail.output_shape[1:]), "float32"))
    return [np.array(each) for each in backbone.get_weights()]


def test_batchnorm_inside_the_kernels_trains_the_same_weights() -> None:
    for folded, plain in zip(_one_step(folded=True), _one_step(folded=False), strict=True):
        np.testing.assert_allclose(folded, plain, atol=1e-5)


def test_a_batchnorm_that_trains_is_left_where_it_is() -> None:
    backbone = build_backbone(_SMALL)
    kinds = {type(layer).__name__ for layer in fold_batchnorm(backbone).layers}
    assert "BatchNormalization" in kinds
    assert "FoldedConvolution" not in kinds


def test_batchnorm_stays_still_while_the_tail_trains() -> None:
    network = build_network(_SMALL, _HEAD, 3, seed=0)
    backbone = network.get_layer("backbone")
    set_trainable_from(backbone, 100)
    tail = trained_part(network, cut_below(backbone, 100))
    tail.compile(keras.optimizers.Adam(0.01), keras.losses.CategoricalCrossentropy(True))
    before = {
        layer.name: [np.array(v) for v in layer.get_weights()]
        for layer in backbone.layers
        if layer.weights
    }
    shape = (16, *tail.input_shape[1:])
    tail.train_on_batch(
        np.random.default_rng(0).normal(3.0, 2.0, shape).astype("float32"),
        np.eye(3, dtype="float32")[np.arange(16) % 3],
    )
    moved = {
        name
        for name, values in before.items()
        for old, new in zip(values, backbone.get_layer(name).get_weights(), strict=True)
        if (old != new).any()
    }
    trainable = {layer.name for layer in backbone.layers[100:] if layer.weights}
    batchnorm = {n for n in trainable if n.endswith("BN") or n.endswith("bn")}
    assert moved == trainable - batchnorm
    assert batchnorm
