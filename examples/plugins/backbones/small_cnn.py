"""A backbone of your own: three convolutions, trained from scratch.

To use it, copy this file into plugins/backbones/ and set `backbone.architecture: small_cnn` and
`backbone.weights: null` in params.yaml, or in a recipe.
"""

import keras
from keras import layers

from sortline.training.backbones import Pixels, backbone


@backbone("small_cnn", pixels=Pixels(scale=1 / 255, offset=0.0), cut="conv3")
def small_cnn(size_px: int, _: float) -> keras.Model:
    """From float32 [N, S, S, 3] in 0..1 to a map of features [N, S/8, S/8, 64]."""
    inputs = x = keras.Input((size_px, size_px, 3))
    for index, filters in enumerate((16, 32, 64), start=1):
        x = layers.Conv2D(filters, 3, 2, "same", activation="relu", name=f"conv{index}")(x)
    return keras.Model(inputs, x)
