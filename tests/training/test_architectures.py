"""Every backbone is the published one, sees pixels as it was trained to, and fits its head."""

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from sortline.core.errors import DataError, ParamsError, WeightsError
from sortline.model.allowed_operations import ALLOWED
from sortline.training.backbones import BACKBONES
from sortline.training.cuts import (
    build_backbone,
    cut_below,
    first_trained,
    layer_index,
    set_trainable_from,
    worthwhile_cut,
)
from sortline.training.network import build_head, build_network
from sortline.training.network_settings import Backbone, Head
from sortline.training.phase_settings import Last
from sortline.training.weights import find_weights

REPOSITORY = Path(__file__).parents[2]
_PLAIN: dict[str, Any] = {
    "pooling": "average",
    "batchnorm": False,
    "hidden_units": 0,
    "dropout": 0.0,
    "activation": "softmax",
}


def _backbone(architecture: str, size_px: int) -> Backbone:
    return Backbone(architecture=architecture, alpha=1.0, image_size_px=size_px, weights=None)


def _head(**changes: object) -> Head:
    return Head.model_validate({**_PLAIN, **changes})


@pytest.fixture(scope="module")
def built() -> dict[str, keras.Model]:
    """Each backbone at the size at which its figures were published."""
    sizes = {"xception_small": 180, "mnist_convnet": 28}
    return {name: build_backbone(_backbone(name, sizes.get(name, 224))) for name in BACKBONES}


# Published: Keras's documentation of its applications (less classifiers, and for EfficientNetB0
# less the 7 numbers of its Normalization); torchvision's 11,689,512 of ResNet-18 less 513,000 of
# its classifier, and 9,600 moving statistics that PyTorch does not count; Keras's tutorials.
@pytest.mark.parametrize(
    ("name", "parameters", "trainable", "shape"),
    [
        ("mobilenet_v2", 2_257_984, 2_223_872, (7, 7, 1280)),
        ("resnet18", 11_689_512 - 513_000 + 9_600, 11_689_512 - 513_000, (7, 7, 512)),
        ("resnet50", 23_587_712, 23_534_592, (7, 7, 2048)),
        ("efficientnet_b0", 4_049_571 - 7, 4_007_548, (7, 7, 1280)),
        ("xception_small", 2_730_040, 2_721_752, (12, 12, 1024)),
        ("baseline_cnn", 93_248, 93_248, (26, 26, 128)),
        ("mnist_convnet", 34_826 - 16_010, 18_816, (5, 5, 64)),
    ],
)
def test_parameters_and_shapes_are_the_published_ones(
    built: dict[str, keras.Model], name: str, parameters: int, trainable: int, shape: Any
) -> None:
    model = built[name]
    assert model.count_params() == parameters
    assert sum(int(np.prod(each.shape)) for each in model.trainable_variables) == trainable
    assert model.output_shape == (None, *shape)


def test_the_default_cut_of_every_backbone_is_a_layer_of_it(built: dict[str, keras.Model]) -> None:
    for name, architecture in BACKBONES.items():
        index = layer_index(built[name], architecture.cut)
        assert cut_below(built[name], index) > 0, name


def test_a_cut_that_would_take_more_room_than_pixels_is_the_input(
    built: dict[str, keras.Model],
) -> None:
    model = built["mobilenet_v2"]
    assert model.layers[cut_below(model, 2)].name == "Conv1"  # 112 x 112 x 32 values a row
    assert worthwhile_cut(model, 2) == 0
    assert model.layers[worthwhile_cut(model, 100)].name == "block_10_project_BN"


@pytest.mark.parametrize(
    ("layer", "first", "frozen_batchnorm"),
    [("all", 0, 0), (100, 100, 34), ({"last": 140}, 14, 4), ("block_11_expand", 98, 33)],
)
def test_freezing_is_what_the_recipe_says(
    built: dict[str, keras.Model], layer: Any, first: int, frozen_batchnorm: int
) -> None:
    model = built["mobilenet_v2"]
    named = Last.model_validate(layer) if isinstance(layer, dict) else layer
    assert first_trained(model, named, "mobilenet_v2") == first
    kind = keras.layers.BatchNormalization
    set_trainable_from(model, first, batchnorm=True)
    still = [each for each in model.layers if isinstance(each, kind) and not each.trainable]
    assert len(still) == frozen_batchnorm
    assert all(each.trainable for each in model.layers[first:])
    set_trainable_from(model, first)
    assert not any(each.trainable for each in model.layers if isinstance(each, kind))


def test_more_last_layers_than_there_are_is_refused(built: dict[str, keras.Model]) -> None:
    with pytest.raises(ParamsError, match="has 154 with its input"):
        first_trained(built["mobilenet_v2"], Last(last=154), "mobilenet_v2")


_PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")


def _scaled(name: str) -> np.ndarray:
    network = build_network(_backbone(name, 32), _head(), 2, seed=0)
    part = keras.Model(network.input, network.get_layer("scale").output)
    return np.asarray(keras.ops.convert_to_numpy(part(_PIXELS)))


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("mobilenet_v2", keras.applications.mobilenet_v2.preprocess_input),
        ("resnet50", keras.applications.resnet50.preprocess_input),
        # DenseNet's is PyTorch's normalisation, which torchvision's ResNet-18 was trained with.
        ("resnet18", keras.applications.densenet.preprocess_input),
        ("efficientnet_b0", keras.applications.densenet.preprocess_input),
    ],
)
def test_pixels_are_scaled_as_keras_does(name: str, reference: Any) -> None:
    np.testing.assert_allclose(_scaled(name), reference(_PIXELS.copy()), atol=2e-4)


def test_efficientnet_is_keras_own_with_imagenets_normalisation() -> None:
    network = build_network(_backbone("efficientnet_b0", 32), _head(), 2, seed=0)
    ours = network.get_layer("backbone")
    whole = keras.applications.EfficientNetB0(
        input_shape=(32, 32, 3), include_top=False, weights=None
    )
    for layer in ours.layers[1:]:
        whole.get_layer(layer.name).set_weights(layer.get_weights())
    normalization = next(e for e in whole.layers if isinstance(e, keras.layers.Normalization))
    # Keras's file has the deviation as variance, and a factor of 1 / sqrt(deviation) follows.
    deviation = np.array([0.229, 0.224, 0.225], "float32")
    normalization.set_weights([np.array([0.485, 0.456, 0.406]), deviation**2, np.array(0)])
    normalization.finalize_state()
    mine = keras.Model(network.input, ours(network.get_layer("scale").output))(_PIXELS)
    np.testing.assert_allclose(mine, whole(_PIXELS), rtol=1e-3, atol=1e-4)


def test_a_grey_network_takes_colour_images_and_sees_their_luma() -> None:
    network = build_network(_backbone("mnist_convnet", 32), _head(pooling="flatten"), 3, seed=0)
    assert network.input_shape == (None, 32, 32, 3)
    luma = (_PIXELS @ np.array([0.299, 0.587, 0.114]))[..., None].repeat(3, -1).astype("float32")
    np.testing.assert_allclose(network(_PIXELS), network(luma), atol=1e-5)
    np.testing.assert_allclose(_scaled("mnist_convnet")[..., 0], luma[..., 0] / 255, atol=1e-5)


@pytest.mark.parametrize("classes", [2, 10, 400, 1000])
def test_a_head_has_a_logit_for_every_class(classes: int) -> None:
    head = build_head(_head(), 1280, classes)
    assert head.output_shape == (None, classes)
    assert head.count_params() == 1281 * classes


def test_one_logit_answers_for_two_classes() -> None:
    head = build_head(_head(activation="sigmoid", batchnorm=True, hidden_units=4), 8, 2)
    assert head.get_layer("logit").output.shape == (None, 1)
    x = np.random.default_rng(0).normal(size=(5, 8)).astype("float32")
    logits = keras.ops.convert_to_numpy(head(x))
    logit = keras.Model(head.input, head.get_layer("logit").output)(x)
    probability = keras.ops.convert_to_numpy(keras.ops.softmax(logits))[:, 1]
    np.testing.assert_allclose(probability, keras.ops.sigmoid(logit)[:, 0], atol=1e-6)
    # The loss is the binary one, with label smoothing, too.
    y = np.array([0, 1, 1, 0, 1])
    smooth = {"from_logits": True, "label_smoothing": 0.1}
    ours = keras.losses.CategoricalCrossentropy(**smooth)(np.eye(2)[y], logits)
    theirs = keras.losses.BinaryCrossentropy(**smooth)(y[:, None].astype("float32"), logit)
    assert float(ours) == pytest.approx(float(theirs), abs=1e-6)


def test_a_binary_recipe_on_ten_classes_is_refused() -> None:
    with pytest.raises(DataError, match=r"10 classes; head\.activation sigmoid"):
        build_head(_head(activation="sigmoid"), 8, 10)


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(ParamsError, match="resnet50 needs at least 32"):
        build_backbone(_backbone("resnet50", 16))


def test_a_network_without_published_weights_is_never_called_pretrained(tmp_path: Any) -> None:
    asked = _backbone("baseline_cnn", 32).model_copy(update={"weights": "imagenet"})
    with pytest.raises(WeightsError, match="baseline_cnn: it is trained from scratch"):
        find_weights(asked, tmp_path)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_a_server_may_run_every_network(name: str) -> None:
    head = _head(activation="sigmoid", batchnorm=True, hidden_units=4, pooling="max")
    network = build_network(_backbone(name, 32), head, 2, seed=0)
    spec = tf.TensorSpec([None, 32, 32, 3], tf.float32)
    traced = tf.function(lambda x: network(x, training=False)).get_concrete_function(spec)
    graph = traced.graph.as_graph_def()
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    assert {node.op for node in nodes} <= ALLOWED


def test_a_backbone_of_a_project_is_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValidationError, match="a file in plugins/backbones/"):
        _backbone("small_cnn", 32)
    shutil.copytree(REPOSITORY / "examples" / "plugins", tmp_path / "plugins")
    monkeypatch.chdir(tmp_path)
    network = build_network(_backbone("small_cnn", 32), _head(), 4, seed=0)
    assert network.get_layer("backbone").output_shape == (None, 4, 4, 64)
    assert network(_PIXELS).shape == (2, 4)
