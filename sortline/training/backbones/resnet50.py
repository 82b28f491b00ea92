"""ResNet-50, with the weights that Caffe trained."""

import keras

from sortline.training.backbones import Pixels, Published, backbone


@backbone(
    "resnet50",
    pixels=Pixels(scale=1.0, offset=(-103.939, -116.779, -123.68), channels="bgr"),
    cut="conv5_block1_1_conv",
    published=Published(
        "resnet50_no_top.weights.h5",
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "https://storage.googleapis.com/tensorflow/keras-applications/resnet/",
    ),
)
def resnet50(size_px: int, _: float) -> keras.Model:
    """He et al., "Deep Residual Learning for Image Recognition", 2015."""
    return keras.applications.ResNet50(
        input_shape=(size_px, size_px, 3), include_top=False, weights=None
    )
