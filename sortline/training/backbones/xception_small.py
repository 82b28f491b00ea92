"""A small Xception, which is trained from scratch."""

from typing import Any

import keras
from keras import layers

from sortline.training.backbones import Pixels, backbone


@backbone("xception_small", pixels=Pixels(1 / 255, 0.0), cut="block728_relu1")
def xception_small(size_px: int, _: float) -> keras.Model:
    """The network of Keras's tutorial "Image classification from scratch" (Chollet, 2020).

    A small version of Xception (Chollet, 2017): its entry flow, residual blocks of 256, 512 and
    728 channels, and its exit.
    """
    inputs = keras.Input((size_px, size_px, 3))
    x = layers.Conv2D(128, 3, strides=2, padding="same", name="entry")(inputs)
    x = layers.ReLU(name="entry_relu")(layers.BatchNormalization(name="entry_bn")(x))
    for filters in (256, 512, 728):
        x = _separable_block(x, filters, f"block{filters}")
    x = layers.SeparableConv2D(1024, 3, padding="same", name="exit")(x)
    x = layers.ReLU(name="exit_relu")(layers.BatchNormalization(name="exit_bn")(x))
    return keras.Model(inputs, x)


def _separable_block(x: Any, filters: int, name: str) -> Any:
    y = x
    for index in (1, 2):
        y = layers.ReLU(name=f"{name}_relu{index}")(y)
        y = layers.SeparableConv2D(filters, 3, padding="same", name=f"{name}_conv{index}")(y)
        y = layers.BatchNormalization(name=f"{name}_bn{index}")(y)
    y = layers.MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(y)
    shortcut = layers.Conv2D(filters, 1, strides=2, padding="same", name=f"{name}_shortcut")(x)
    return layers.Add(name=f"{name}_add")([y, shortcut])
