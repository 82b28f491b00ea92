"""The registry of backbones: networks without their classifiers, and where to cut them.

A backbone is a functional Keras model from scaled pixels to a map of features. Its layers are
numbered as Keras numbers them (`layers[0]` is the input), because recipes name layers so. Another
one is one entry of `ARCHITECTURES`, and its name in params.py.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import keras

from sortline.core.errors import ParamsError
from sortline.training import architectures
from sortline.training.network_settings import ArchitectureName, Backbone
from sortline.training.phase_settings import FromLayer, Last

Channels = Literal["rgb", "bgr", "grey"]
Numbers = float | tuple[float, float, float]


@dataclass(frozen=True)
class Published:
    """Files of pretrained weights that somebody has published.

    Attributes:
        ours: name in the folder SORTLINE_WEIGHTS_DIR, with {alpha} and {size}.
        kerass: name in Keras's cache and at `address`; None where Keras publishes none.
        address: folder from which Keras downloads.
        alphas: widths for which there are files.
        sizes_px: image sizes for which there are files; of others, 224's are taken.
        layout: the model whose weights the file holds, when that is more than the backbone.
    """

    ours: str
    kerass: str | None = None
    address: str = ""
    alphas: tuple[float, ...] = (1.0,)
    sizes_px: tuple[int, ...] = (224,)
    layout: Callable[[], keras.Model] | None = None


@dataclass(frozen=True)
class Architecture:
    """What the pipeline has to know of a family of backbones.

    Attributes:
        build: from (size in pixels, width multiplier) to the model, random weights.
        scale: pixels in 0..255, in the order of `channels`, are multiplied by this ...
        offset: ... and this is added, before they enter the backbone.
        cut: the layer from which it is fine-tuned unless a recipe names another.
        channels: what the backbone sees of an image.
        min_size_px: side of the smallest image that it can be built for.
        published: its pretrained weights; None: there are none.
    """

    build: Callable[[int, float], keras.Model]
    scale: Numbers
    offset: Numbers
    cut: str
    channels: Channels = "rgb"
    min_size_px: int = 32
    published: Published | None = None


def _mobilenet_v2(size_px: int, alpha: float) -> keras.Model:
    # Sandler et al., "MobileNetV2", 2018. Keras warns of sizes for which no ImageNet weights
    # exist; weights are ours to load (weights.py), so none are asked for here.
    return keras.applications.MobileNetV2(
        input_shape=(size_px, size_px, 3), alpha=alpha, include_top=False, weights=None
    )


def _resnet50(size_px: int, _: float) -> keras.Model:
    return keras.applications.ResNet50(
        input_shape=(size_px, size_px, 3), include_top=False, weights=None
    )


def _whole_efficientnet_b0(size_px: int = 224) -> keras.Model:
    return keras.applications.EfficientNetB0(
        input_shape=(size_px, size_px, 3), include_top=False, weights=None
    )


def _efficientnet_b0(size_px: int, _: float) -> keras.Model:
    # Keras's own scales its input inside, and otherwise with ImageNet weights than without: what
    # comes before the first convolution is cut off, and done by `scale` and `offset`.
    whole = _whole_efficientnet_b0(size_px)
    kind = keras.layers.Normalization
    scaled = next(layer.output for layer in whole.layers if isinstance(layer, kind))
    # Cloned, so that a layer's output belongs to this model and not to the whole one.
    return keras.models.clone_model(keras.Model(scaled, whole.output))


# Mean and standard deviation of ImageNet's training images, of 1, by which PyTorch normalises.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_NORMALISED: Mapping[str, Any] = {
    "scale": tuple(1 / (255 * each) for each in _DEVIATION),
    "offset": tuple(-mean / each for mean, each in zip(_MEAN, _DEVIATION, strict=True)),
}
_STORAGE = "https://storage.googleapis.com/"

ARCHITECTURES: dict[ArchitectureName, Architecture] = {
    "mobilenet_v2": Architecture(
        _mobilenet_v2,
        scale=1 / 127.5,
        offset=-1.0,
        cut="block_11_expand_relu",
        published=Published(
            "mobilenet_v2_{alpha}_{size}_no_top.weights.h5",
            "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{size}_no_top.h5",
            f"{_STORAGE}tensorflow/keras-applications/mobilenet_v2/",
            alphas=(0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
            sizes_px=(96, 128, 160, 192, 224),
        ),
    ),
    "resnet18": Architecture(
        lambda size_px, _: architectures.resnet18(size_px),
        **_NORMALISED,
        cut="layer4_0_conv1_pad",
        published=Published("resnet18_no_top.safetensors"),
    ),
    "resnet50": Architecture(
        _resnet50,
        scale=1.0,
        offset=(-103.939, -116.779, -123.68),
        cut="conv5_block1_1_conv",
        channels="bgr",  # Its weights come from Caffe.
        published=Published(
            "resnet50_no_top.weights.h5",
            "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
            f"{_STORAGE}tensorflow/keras-applications/resnet/",
        ),
    ),
    "efficientnet_b0": Architecture(
        _efficientnet_b0,
        **_NORMALISED,
        cut="block7a_expand_conv",
        published=Published(
            "efficientnet_b0_no_top.weights.h5",
            "efficientnetb0_notop.h5",
            f"{_STORAGE}keras-applications/",
            layout=_whole_efficientnet_b0,
        ),
    ),
    "xception_small": Architecture(
        lambda size_px, _: architectures.xception_small(size_px),
        scale=1 / 255,
        offset=0.0,
        cut="block728_relu1",
    ),
    "baseline_cnn": Architecture(
        lambda size_px, _: architectures.baseline_cnn(size_px),
        scale=1 / 255,
        offset=0.0,
        cut="conv3",
    ),
    "mnist_convnet": Architecture(
        lambda size_px, _: architectures.mnist_convnet(size_px),
        scale=1 / 255,
        offset=0.0,
        cut="conv2",
        channels="grey",
        min_size_px=10,
    ),
}


def build_backbone(params: Backbone) -> keras.Model:
    """The backbone with random weights, float32 [N, S, S, channels], scaled, to [N, h, w, C].

    Raises:
        ParamsError: the images are too small for it.
    """
    architecture = ARCHITECTURES[params.architecture]
    if params.image_size_px < architecture.min_size_px:
        raise ParamsError(
            f"backbone.image_size_px is {params.image_size_px}; {params.architecture} needs at"
            f" least {architecture.min_size_px}."
        )
    model = architecture.build(params.image_size_px, params.alpha)
    model.name = "backbone"
    return model


def layer_index(backbone: keras.Model, layer: int | str) -> int:
    """Index of a layer given by index or name.

    Raises:
        ParamsError: there is no such layer.
    """
    names = [each.name for each in backbone.layers]
    if isinstance(layer, str) and layer in names:
        return names.index(layer)
    if isinstance(layer, int) and 0 <= layer < len(names):
        return layer
    raise ParamsError(
        f"fine_tune_phase2.from_layer is {layer!r}; the backbone has layers 0 to {len(names) - 1},"
        f" from {names[0]!r} to {names[-1]!r}."
    )


def first_trained(backbone: keras.Model, layer: FromLayer, architecture: ArchitectureName) -> int:
    """Index of the first backbone layer that trains, in whatever way a recipe names it.

    Raises:
        ParamsError: there is no such layer, or there are not so many.
    """
    layers = len(backbone.layers)
    if layer == "all":
        return 0
    if layer == "default":
        return layer_index(backbone, ARCHITECTURES[architecture].cut)
    if not isinstance(layer, Last):
        return layer_index(backbone, layer)
    if layer.last >= layers:
        raise ParamsError(
            f"fine_tune_phase2.from_layer is the last {layer.last} layers; the backbone has"
            f" {layers} with its input. Give fewer, or from_layer: all."
        )
    return layers - layer.last


def _producers(layer: Any) -> set[str]:
    tensors = layer.input if isinstance(layer.input, list) else [layer.input]
    return {tensor._keras_history.operation.name for tensor in tensors}


def cut_below(backbone: keras.Model, from_layer: int) -> int:
    """The last layer before `from_layer` whose output alone feeds everything above it.

    A cut inside a residual block would have to keep two tensors; the nearest narrow point below it
    keeps one, and what lies between is computed again, frozen. For MobileNetV2 and layer 100 this
    is layer 97, `block_10_project_BN`. Where no tensor crosses alone, it is the input, 0.
    """
    names = [layer.name for layer in backbone.layers]
    for index in range(from_layer - 1, 0, -1):
        below = set(names[: index + 1])
        crossing = set().union(*(_producers(layer) for layer in backbone.layers[index + 1 :]))
        if crossing & below == {names[index]}:
            return index
    return 0


def worthwhile_cut(backbone: keras.Model, from_layer: int) -> int:
    """`cut_below`, or the input, 0, where features would take more room than the little they save.

    That is where a row of them has more than twice the values of the pixels: in the first layers.
    """
    cut = cut_below(backbone, from_layer)
    values, pixels = (
        math.prod(each.shape[1:]) for each in (backbone.layers[cut].output, backbone.input)
    )
    return cut if values <= 2 * pixels else 0


def head_of(backbone: keras.Model, cut: int) -> keras.Model:
    """The frozen part: from the backbone's input to the output of layer `cut`."""
    return keras.Model(backbone.input, backbone.layers[cut].output, name="frozen")


def tail_of(backbone: keras.Model, cut: int) -> keras.Model:
    """The rest: from the output of layer `cut` to the backbone's output; layers are shared."""
    if cut == 0:
        return backbone
    return keras.Model(backbone.layers[cut].output, backbone.output, name="tail")


def set_trainable_from(backbone: keras.Model, from_layer: int, *, batchnorm: bool = False) -> None:
    """Let the layers from `from_layer` on train; BatchNorm among them only if `batchnorm`.

    `training=False` does not keep BatchNorm's statistics still under Keras 3's `fit`;
    `trainable = False` on each of them does.
    """
    for index, layer in enumerate(backbone.layers):
        still = isinstance(layer, keras.layers.BatchNormalization) and not batchnorm
        layer.trainable = index >= from_layer and not still
