"""A classifier in two parts, below and above a cut of its backbone: what is frozen, what trains.

Frozen BatchNorm costs nothing in the part that trains: its factor goes into the kernel of the
convolution below it. conv(x, W) * s + b is conv(x, W * s) + b. The variables stay the layers' own
and get the gradients they got before; what goes away is a pass over the activations forwards and
another one backwards.
"""

from typing import Any

import keras
from keras import ops

from sortline.training.cuts import tail_of


def frozen_part(network: keras.Model, cut: int) -> keras.Model:
    """Pixels in 0..255 to the features at layer `cut` of the backbone."""
    backbone = network.get_layer("backbone")
    below = keras.Model(backbone.input, backbone.layers[cut].output, name="frozen")
    features = below(network.get_layer("scale").output)
    return keras.Model(network.input, features, name="frozen_part")


def trained_part(network: keras.Model, cut: int) -> keras.Model:
    """Features at layer `cut` (0: pixels) to logits; shares its variables with `network`."""
    tail = fold_batchnorm(tail_of(network.get_layer("backbone"), cut))
    inputs = features = keras.Input(tail.input_shape[1:], name="features")
    if cut == 0:
        inputs = keras.Input(network.input_shape[1:], name="pixels")
        features = keras.Model(network.input, network.get_layer("scale").output)(inputs)
    pooled = network.get_layer("pooling")(tail(features))
    return keras.Model(inputs, network.get_layer("head")(pooled), name="trained_part")


def described(backbone: keras.Model, cut: int, first: int) -> dict[str, Any]:
    """What is recorded of a phase that trains from layer `first` on."""
    # Keras numbers inputs by how many there have been in the process: no name to resume by.
    names = ["input", *(str(layer.name) for layer in backbone.layers[1:])]
    return {
        "cut_layer": names[cut],
        "from_layer": names[first],
        "from_layer_index": first,
        "batchnorm_frozen": not any(
            layer.trainable
            for layer in backbone.layers
            if isinstance(layer, keras.layers.BatchNormalization)
        ),
    }


@keras.saving.register_keras_serializable("sortline")
class FoldedConvolution(keras.layers.Layer):  # type: ignore[misc]
    """A convolution without bias, and the frozen BatchNorm on top of it, as one convolution.

    Args:
        convolution: a built Conv2D or DepthwiseConv2D, whose kernel may train.
        normalization: a built BatchNormalization with scale and centre, which does not.
    """

    def __init__(self, convolution: Any, normalization: Any) -> None:
        super().__init__(name=f"{convolution.name}_folded")
        self.convolution, self.normalization = convolution, normalization

    def call(self, inputs: Any) -> Any:
        """From what the convolution takes to what the normalization gives."""
        conv, norm = self.convolution, self.normalization
        factor = norm.gamma * ops.rsqrt(norm.moving_variance + norm.epsilon)
        depthwise = isinstance(conv, keras.layers.DepthwiseConv2D)
        convolve = ops.depthwise_conv if depthwise else ops.conv
        # A depthwise kernel is [h, w, channels, 1], any other one [h, w, in, channels].
        kernel = conv.kernel * (factor[:, None] if depthwise else factor)
        result = convolve(inputs, kernel, strides=conv.strides, padding=conv.padding)
        return result + (norm.beta - norm.moving_mean * factor)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The convolution's."""
        return self.convolution.compute_output_shape(input_shape)


def _foldable(layer: Any) -> bool:
    plain = isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)
    if not plain or layer.use_bias or layer.activation is not keras.activations.linear:
        return False
    return bool(layer.dilation_rate in (1, (1, 1)) and getattr(layer, "groups", 1) == 1) and (
        getattr(layer, "depth_multiplier", 1) == 1
    )


def _frozen(layer: Any) -> bool:
    batchnorm = isinstance(layer, keras.layers.BatchNormalization)
    return batchnorm and not layer.trainable and layer.scale and layer.center


def _again(layer: Any) -> Any:
    # A layer that is called twice has no `input` any more, by which cuts are found: one without
    # weights is made anew.
    return layer if layer.weights else type(layer).from_config(layer.get_config())


def fold_batchnorm(model: keras.Model) -> keras.Model:
    """The same function of the same variables, with each frozen BatchNorm in its convolution.

    Args:
        model: functional, with one input and one output.
    """
    start = keras.Input(model.inputs[0].shape[1:])
    tensors: dict[int, Any] = {id(model.inputs[0]): start}
    waiting: dict[int, Any] = {}
    readers = _readers(model)
    for node in _nodes(model):
        layer, inputs = node.operation, node.input_tensors
        output = id(node.output_tensors[0])
        below = waiting.get(id(inputs[0]))
        if below is not None:
            tensors[output] = FoldedConvolution(below.operation, layer)(
                tensors[id(below.input_tensors[0])]
            )
        elif _foldable(layer) and all(map(_frozen, readers[output])):
            waiting[output] = node
        else:
            arguments = [tensors[id(tensor)] for tensor in inputs]
            tensors[output] = _again(layer)(arguments if len(arguments) > 1 else arguments[0])
    return keras.Model(start, tensors[id(model.outputs[0])], name=model.name)


def _nodes(model: keras.Model) -> list[Any]:
    by_depth = model._nodes_by_depth
    ordered = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
    return [node for node in ordered if not node.is_input]


def _readers(model: keras.Model) -> dict[int, list[Any]]:
    readers: dict[int, list[Any]] = {id(output): [None] for output in model.outputs}
    for node in _nodes(model):
        for tensor in node.input_tensors:
            readers.setdefault(id(tensor), []).append(node.operation)
    return readers
