"""The networks of first tutorials: a few convolutions, which are trained from scratch."""

import keras
from keras import layers

from sortline.training.backbones import Pixels, backbone


def _plain(size_px: int, channels: int, filters: tuple[int, ...]) -> keras.Model:
    x = inputs = keras.Input((size_px, size_px, channels))
    for index, width in enumerate(filters, start=1):
        x = layers.Conv2D(width, 3, activation="relu", name=f"conv{index}")(x)
        x = layers.MaxPooling2D(name=f"pool{index}")(x)
    return keras.Model(inputs, x)


@backbone("baseline_cnn", pixels=Pixels(1 / 255, 0.0), cut="conv3")
def baseline_cnn(size_px: int, _: float) -> keras.Model:
    """Three convolutions, each with its pooling; a head with a hidden layer makes it eight layers.

    The network that tutorials build first: nothing in it is pretrained, or normalised.
    """
    return _plain(size_px, 3, (32, 64, 128))


@backbone("mnist_convnet", pixels=Pixels(1 / 255, 0.0, "grey"), cut="conv2", min_size_px=10)
def mnist_convnet(size_px: int, _: float) -> keras.Model:
    """The network of Keras's tutorial "Simple MNIST convnet" (Chollet, 2015), grey images."""
    return _plain(size_px, 1, (32, 64))
