"""The whole classifier: pixels in 0..255 to one logit a class. Softmax belongs to the export."""

from pathlib import Path

import keras

from pipeline_steps.artifacts import read_json, require
from pipeline_steps.models.backbones import ARCHITECTURES, build_backbone
from pipeline_steps.models.weights import load_weights
from pipeline_steps.params import Backbone, Head, Params

_POOLING = {
    "average": keras.layers.GlobalAveragePooling2D,
    "max": keras.layers.GlobalMaxPooling2D,
}


def build_pooling(head: Head) -> keras.layers.Layer:
    """The layer from [N, h, w, channels] to [N, channels]."""
    return _POOLING[head.pooling](name="pooling")


def build_head(head: Head, channels: int, classes: int) -> keras.Model:
    """From pooled features [N, channels] to logits [N, classes]: dense relu, dropout, dense."""
    inputs = x = keras.Input((channels,), name="pooled")
    if head.hidden_units:
        x = keras.layers.Dense(head.hidden_units, activation="relu", name="hidden")(x)
    if head.dropout:
        x = keras.layers.Dropout(head.dropout, name="dropout")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(x), name="head")


def build_network(backbone: Backbone, head: Head, classes: int, seed: int) -> keras.Model:
    """The classifier with random weights drawn from `seed`.

    Float32 [N, S, S, 3] in 0..255 to float32 [N, classes]. Its layers `backbone`, `pooling` and
    `head` can be taken apart: phase 1 trains the head alone, phase 2 the backbone's tail with it.
    """
    keras.utils.set_random_seed(seed)
    architecture = ARCHITECTURES[backbone.architecture]
    base = build_backbone(backbone)
    inputs = keras.Input((backbone.image_size_px, backbone.image_size_px, 3), name="image")
    scaled = keras.layers.Rescaling(architecture.scale, architecture.offset, name="scale")(inputs)
    pooled = build_pooling(head)(base(scaled))
    logits = build_head(head, pooled.shape[-1], classes)(pooled)
    return keras.Model(inputs, logits, name="classifier")


def load_network(folder: Path, params: Params) -> tuple[keras.Model, tuple[str, ...]]:
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
