"""LiteRT files: a computation over a network's layers, as one flat file for small runtimes."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy.typing as npt

from sortline.core.quiet import silenced_stderr

if TYPE_CHECKING:
    import tensorflow as tf

SIGNATURE = "serve"
Serve = Callable[[Any], dict[str, Any]]


def flat_of(
    model: keras.Model,
    serve: Serve,
    spec: "tf.TensorSpec",
    calibration: Iterable[npt.NDArray[Any]] | None = None,
) -> bytes:
    """A LiteRT file with the one signature `SIGNATURE`; equal inputs give equal bytes.

    Args:
        model: the network whose layers `serve` calls.
        serve: from one tensor to outputs by name.
        spec: of that tensor; its name is the input's.
        calibration: tensors like it, from which the ranges of all activations are taken. With it,
            the file computes in 8-bit integers (weights by channel), from uint8 to uint8.
    """
    with tempfile.TemporaryDirectory() as folder, silenced_stderr():
        _write(model, serve, spec, folder)
        converter = _converter(folder)
        if calibration is not None:
            _quantise(converter, calibration)
        flat: bytes = converter.convert()
    return flat


def _write(model: keras.Model, serve: Serve, spec: "tf.TensorSpec", folder: str) -> None:
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(SIGNATURE, serve, input_signature=[spec])
    archive.write_out(folder, verbose=False)


def _converter(folder: str) -> Any:
    import tensorflow as tf

    # Not from_concrete_functions: of a Keras 3 model it makes one that gives NaN.
    return tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])


def _quantise(converter: Any, calibration: Iterable[npt.NDArray[Any]]) -> None:
    import tensorflow as tf

    def samples() -> Iterator[list[npt.NDArray[Any]]]:
        for batch in calibration:
            yield [batch]  # By name, it would take an interpreter that TensorFlow calls deprecated.

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    # Nothing else: an operation without an integer form is an error, not a slow float one.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
