"""The whole classifier: pixels in 0..255 to one logit a class. Softmax belongs to the export.

A head with one logit z for two classes gives (0, z): softmax of that is (1 - sigmoid(z),
sigmoid(z)), and its cross-entropy is the binary one. Everything after the network is then the same
for both kinds of head.
"""

from pathlib import Path
from typing import Any

import keras
from keras import ops

from sortline.core.errors import DataError
from sortline.core.files import read_json, require
from sortline.training.backbones import BACKBONES
from sortline.training.cuts import build_backbone
from sortline.training.network_settings import Backbone, Head, NetworkParams
from sortline.training.weights import load_weights

_POOLING = {
    "average": keras.layers.GlobalAveragePooling2D,
    "max": keras.layers.GlobalMaxPooling2D,
    "flatten": keras.layers.Flatten,
}
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def build_pooling(head: Head) -> keras.layers.Layer:
    """The layer from [N, h, w, channels] to [N, F]; F is channels unless it is `flatten`."""
    return _POOLING[head.pooling](name="pooling")


def check_classes(head: Head, classes: int) -> None:
    """Make sure that this head can tell so many classes apart.

    Raises:
        DataError: there are fewer than two, or not exactly two for a single logit.
    """
    if head.activation == "sigmoid" and classes != 2:
        raise DataError(
            f"The dataset has {classes} classes; head.activation sigmoid, one logit, is for exactly"
            " 2. Set head.activation: softmax, or take a dataset of two classes."
        )
    if classes < 2:
        raise DataError(f"The dataset has {classes} class; a classifier needs at least 2.")


def build_head(head: Head, channels: int, classes: int) -> keras.Model:
    """From pooled features [N, channels] to logits [N, classes].

    BatchNorm, dense relu, dropout, dense, as far as the settings want them.

    Raises:
        DataError: see `check_classes`.
    """
    check_classes(head, classes)
    inputs = x = keras.Input((channels,), name="pooled")
    if head.batchnorm:
        x = keras.layers.BatchNormalization(name="pooled_bn")(x)
    if head.hidden_units:
        x = keras.layers.Dense(head.hidden_units, activation="relu", name="hidden")(x)
    if head.dropout:
        x = keras.layers.Dropout(head.dropout, name="dropout")(x)
    if head.activation == "softmax":
        return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(x), name="head")
    logit = keras.layers.Dense(1, name="logit")(x)
    return keras.Model(inputs, ops.pad(logit, ((0, 0), (1, 0))), name="head")


def _channels(channels: str, pixels: Any) -> Any:
    """What the backbone sees of RGB pixels [N, S, S, 3]: [N, S, S, 1 or 3]."""
    if channels == "grey":
        return ops.sum(pixels * ops.array(_LUMA, "float32"), axis=-1, keepdims=True)
    return ops.flip(pixels, axis=-1) if channels == "bgr" else pixels


def build_network(backbone: Backbone, head: Head, classes: int, seed: int) -> keras.Model:
    """The classifier with random weights drawn from `seed`.

    Float32 [N, S, S, 3] in 0..255 to float32 [N, classes], also where the backbone sees grey. Its
    layers `backbone`, `pooling` and `head` can be taken apart: phase 1 trains the head alone, phase
    2 the backbone's tail with it.

    Raises:
        DataError: see `check_classes`.
        ParamsError: the images are too small for the backbone.
    """
    keras.utils.set_random_seed(seed)
    enters = BACKBONES[backbone.architecture].pixels
    base = build_backbone(backbone)
    inputs = keras.Input((backbone.image_size_px, backbone.image_size_px, 3), name="image")
    scale, offset = (_plain(value) for value in (enters.scale, enters.offset))
    scaling = keras.layers.Rescaling(scale, offset, name="scale")
    pooled = build_pooling(head)(base(scaling(_channels(enters.channels, inputs))))
    logits = build_head(head, pooled.shape[-1], classes)(pooled)
    return keras.Model(inputs, logits, name="classifier")


def _plain(numbers: float | tuple[float, ...]) -> float | list[float]:
    return list(numbers) if isinstance(numbers, tuple) else numbers


def load_network(folder: Path, params: NetworkParams) -> tuple[keras.Model, tuple[str, ...]]:
    """A trained classifier and its labels, from what a training step wrote.

    Args:
        folder: `artifacts/phase1` or `artifacts/phase2`.
        params: the settings with which it was trained.

    Raises:
        ArtifactError: the folder is missing.
        WeightsError: the weights do not fit these settings.
    """
    made_by = "dvc repro fine_tune_phase2"
    facts = read_json(folder / "facts.json", made_by)
    labels = tuple(facts["labels"])
    network = build_network(params.backbone, params.head, len(labels), params.seed)
    load_weights(network, require(folder / "weights.safetensors", made_by))
    return network, labels
