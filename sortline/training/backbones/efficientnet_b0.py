"""EfficientNet-B0."""

import keras

from sortline.training.backbones import PYTORCH_PIXELS, Published, backbone


def _whole(size_px: int = 224) -> keras.Model:
    return keras.applications.EfficientNetB0(
        input_shape=(size_px, size_px, 3), include_top=False, weights=None
    )


@backbone(
    "efficientnet_b0",
    pixels=PYTORCH_PIXELS,
    cut="block7a_expand_conv",
    published=Published(
        "efficientnet_b0_no_top.weights.h5",
        "efficientnetb0_notop.h5",
        "https://storage.googleapis.com/keras-applications/",
        layout=_whole,
    ),
)
def efficientnet_b0(size_px: int, _: float) -> keras.Model:
    """Tan and Le, "EfficientNet: Rethinking Model Scaling for CNNs", 2019.

    Keras's own scales its input inside, and otherwise with ImageNet weights than without: what
    comes before the first convolution is cut off, and done by `scale` and `offset`.
    """
    whole = _whole(size_px)
    kind = keras.layers.Normalization
    scaled = next(layer.output for layer in whole.layers if isinstance(layer, kind))
    # Cloned, so that a layer's output belongs to this model and not to the whole one.
    return keras.models.clone_model(keras.Model(scaled, whole.output))
