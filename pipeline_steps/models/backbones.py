"""Pretrained networks without their classifiers, and where to cut them.

A backbone is a functional Keras model from scaled pixels to a map of features. Its layers are
numbered as Keras numbers them (`layers[0]` is the input), because recipes name layers so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from pipeline_steps.errors import ParamsError
from pipeline_steps.params import Backbone


@dataclass(frozen=True)
class Architecture:
    """What the pipeline has to know of a family of backbones.

    Attributes:
        build: from (size in pixels, width multiplier) to the model, random weights.
        scale: pixels in 0..255 are multiplied by this ...
        offset: ... and this is added, before they enter the backbone.
    """

    build: Callable[[int, float], keras.Model]
    scale: float
    offset: float


def _mobilenet_v2(size_px: int, alpha: float) -> keras.Model:
    # Sandler et al., "MobileNetV2", 2018. Keras warns of sizes for which no ImageNet weights
    # exist; weights are ours to load (weights.py), so none are asked for here.
    return keras.applications.MobileNetV2(
        input_shape=(size_px, size_px, 3), alpha=alpha, include_top=False, weights=None
    )


ARCHITECTURES = {
    "mobilenet_v2": Architecture(_mobilenet_v2, scale=1 / 127.5, offset=-1.0),
}


def build_backbone(params: Backbone) -> keras.Model:
    """The backbone with random weights, float32 [N, S, S, 3] in -1..1 to [N, h, w, channels]."""
    model = ARCHITECTURES[params.architecture].build(params.image_size_px, params.alpha)
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


def _producers(layer: Any) -> set[str]:
    tensors = layer.input if isinstance(layer.input, list) else [layer.input]
    return {tensor._keras_history.operation.name for tensor in tensors}


def cut_below(backbone: keras.Model, from_layer: int) -> int:
    """The last layer before `from_layer` whose output alone feeds everything above it.

    A cut inside a residual block would have to keep two tensors; the nearest narrow point below it
    keeps one, and what lies between is computed again, frozen. For MobileNetV2 and layer 100 this
    is layer 97, `block_10_project_BN`.
    """
    names = [layer.name for layer in backbone.layers]
    for index in range(from_layer - 1, 0, -1):
        below = set(names[: index + 1])
        crossing = set().union(*(_producers(layer) for layer in backbone.layers[index + 1 :]))
        if crossing & below == {names[index]}:
            return index
    return 0


def head_of(backbone: keras.Model, cut: int) -> keras.Model:
    """The frozen part: from the backbone's input to the output of layer `cut`."""
    return keras.Model(backbone.input, backbone.layers[cut].output, name="frozen")


def tail_of(backbone: keras.Model, cut: int) -> keras.Model:
    """The rest: from the output of layer `cut` to the backbone's output; layers are shared."""
    if cut == 0:
        return backbone
    return keras.Model(backbone.layers[cut].output, backbone.output, name="tail")


def set_trainable_from(backbone: keras.Model, from_layer: int) -> None:
    """Let the layers from `from_layer` on train, all but BatchNorm.

    `training=False` does not keep BatchNorm's statistics still under Keras 3's `fit`;
    `trainable = False` on each of them does.
    """
    for index, layer in enumerate(backbone.layers):
        batchnorm = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = index >= from_layer and not batchnorm
