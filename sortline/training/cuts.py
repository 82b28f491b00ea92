"""A backbone built, and where it is cut: what stays frozen below, and what trains above."""

import math
from typing import Any

import keras

from sortline.core.errors import ParamsError
from sortline.training.backbones import BACKBONES
from sortline.training.network_settings import Backbone
from sortline.training.phase_settings import FromLayer, Last


def build_backbone(params: Backbone) -> keras.Model:
    """The backbone with random weights, float32 [N, S, S, channels], scaled, to [N, h, w, C].

    Raises:
        ParamsError: the images are too small for it.
    """
    architecture = BACKBONES[params.architecture]
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


def first_trained(backbone: keras.Model, layer: FromLayer, architecture: str) -> int:
    """Index of the first backbone layer that trains, in whatever way a recipe names it.

    Raises:
        ParamsError: there is no such layer, or there are not so many.
    """
    layers = len(backbone.layers)
    if layer == "all":
        return 0
    if layer == "default":
        return layer_index(backbone, BACKBONES[architecture].cut)
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
        math.prod(tensor.shape[1:]) for tensor in (backbone.layers[cut].output, backbone.input)
    )
    return cut if values <= 2 * pixels else 0


def tail_of(backbone: keras.Model, cut: int) -> keras.Model:
    """From the output of layer `cut` to the backbone's output; layers are shared."""
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
