"""Networks that Keras has no application for, written out, without their classifiers.

Each is a functional model from scaled pixels, float32 [N, S, S, channels], to a map of features.
"""

from typing import Any

import keras
from keras import layers

# torchvision's BatchNorm, with which its weights were trained: Keras's own constants are others.
_TORCH_EPSILON, _TORCH_MOMENTUM = 1e-5, 0.9


def _torch_conv(x: Any, filters: int, kernel: int, strides: int, name: str) -> Any:
    # PyTorch pads both sides alike; "same" with strides pads the far side alone.
    if kernel > 1:
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    return layers.Conv2D(filters, kernel, strides, use_bias=False, name=name)(x)


def _torch_batchnorm(x: Any, name: str) -> Any:
    return layers.BatchNormalization(momentum=_TORCH_MOMENTUM, epsilon=_TORCH_EPSILON, name=name)(x)


def _basic_block(x: Any, filters: int, strides: int, name: str) -> Any:
    shortcut = x
    y = _torch_batchnorm(_torch_conv(x, filters, 3, strides, f"{name}_conv1"), f"{name}_bn1")
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = _torch_batchnorm(_torch_conv(y, filters, 3, 1, f"{name}_conv2"), f"{name}_bn2")
    if strides != 1:
        shortcut = _torch_conv(x, filters, 1, strides, f"{name}_downsample_0")
        shortcut = _torch_batchnorm(shortcut, f"{name}_downsample_1")
    y = layers.Add(name=f"{name}_add")([y, shortcut])
    return layers.ReLU(name=f"{name}_relu2")(y)


def resnet18(size_px: int) -> keras.Model:
    """He et al., "Deep Residual Learning for Image Recognition", 2015, as torchvision builds it.

    Layers are named as torchvision's modules, with underscores for dots.
    """
    inputs = keras.Input((size_px, size_px, 3))
    x = _torch_batchnorm(_torch_conv(inputs, 64, 7, 2, "conv1"), "bn1")
    x = layers.ZeroPadding2D(1, name="pool1_pad")(layers.ReLU(name="relu1")(x))
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)  # After a ReLU, zeros pad as -inf would.
    for stage, filters in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            strides = 2 if stage > 1 and block == 0 else 1
            x = _basic_block(x, filters, strides, f"layer{stage}_{block}")
    return keras.Model(inputs, x)


def xception_small(size_px: int) -> keras.Model:
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


def _plain(size_px: int, channels: int, filters: tuple[int, ...]) -> keras.Model:
    x = inputs = keras.Input((size_px, size_px, channels))
    for index, width in enumerate(filters, start=1):
        x = layers.Conv2D(width, 3, activation="relu", name=f"conv{index}")(x)
        x = layers.MaxPooling2D(name=f"pool{index}")(x)
    return keras.Model(inputs, x)


def baseline_cnn(size_px: int) -> keras.Model:
    """Three convolutions, each with its pooling; a head with a hidden layer makes it eight layers.

    The network that tutorials build first: nothing in it is pretrained, or normalised.
    """
    return _plain(size_px, 3, (32, 64, 128))


def mnist_convnet(size_px: int) -> keras.Model:
    """The network of Keras's tutorial "Simple MNIST convnet" (Chollet, 2015), grey images."""
    return _plain(size_px, 1, (32, 64))
