"""ResNet-18 as torchvision builds it; Keras has none."""

from typing import Any

import keras
from keras import layers

from sortline.training.backbones import PYTORCH_PIXELS, Published, backbone

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


@backbone(
    "resnet18",
    pixels=PYTORCH_PIXELS,
    cut="layer4_0_conv1_pad",
    published=Published("resnet18_no_top.safetensors"),
)
def resnet18(size_px: int, _: float) -> keras.Model:
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
