"""MobileNetV2: the reference."""

import keras

from sortline.training.backbones import Pixels, Published, backbone


@backbone(
    "mobilenet_v2",
    pixels=Pixels(scale=1 / 127.5, offset=-1.0),
    cut="block_11_expand_relu",
    has_widths=True,
    published=Published(
        "mobilenet_v2_{alpha}_{size}_no_top.weights.h5",
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{size}_no_top.h5",
        "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/",
        alphas=(0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
        sizes_px=(96, 128, 160, 192, 224),
    ),
)
def mobilenet_v2(size_px: int, alpha: float) -> keras.Model:
    """Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018."""
    # Keras warns of sizes for which no ImageNet weights exist; weights are ours to load
    # (weights.py), so none are asked for here.
    return keras.applications.MobileNetV2(
        input_shape=(size_px, size_px, 3), alpha=alpha, include_top=False, weights=None
    )
