"""The forward pass of a frozen network, at the rate that the hardware has.

On a CPU LiteRT (XNNPACK) runs a network at several times the rate of TensorFlow's own kernels, one
image at a time in as many threads as there are cores: an image's activations then stay in a core's
cache. `bench/extraction.py` prints the ratios, and how far the two disagree.

On a GPU Keras's backend is the engine, in float32 or, for its matrix units, in bfloat16.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, Literal

import keras
import numpy as np
import numpy.typing as npt

from sortline.core.quiet import silenced_stderr
from sortline.training.feature_store import beside
from sortline.training.litert_file import SIGNATURE, flat_of

Array = npt.NDArray[Any]
Forward = Callable[[Array], list[Array]]
"""From float32 [N, S, S, 3] to the network's outputs, float32 [N, ...] each."""

Engine = Literal["litert", "keras", "keras_bfloat16"]
_DIGEST_BYTES: Final = 32


def describe(engine: Engine) -> str:
    """Name and version of what computes: features of one engine are not another's."""
    name = "ai-edge-litert" if engine == "litert" else keras.backend.backend()
    return f"{name} {version(name)}{' bfloat16' if engine == 'keras_bfloat16' else ''}"


def cores() -> int:
    """Cores that this process may use; at least 1."""
    return max(1, len(os.sched_getaffinity(0)))


def convert(model: keras.Model) -> bytes:
    """A LiteRT model of batch 1, float32, whose outputs are named `output_0`, `output_1`, ..."""
    import tensorflow as tf

    def serve(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model(pixels, training=False)
        many = outputs if isinstance(outputs, list) else [outputs]
        return {f"output_{index}": output for index, output in enumerate(many)}

    spec = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="pixels")
    return flat_of(model, serve, spec)


def _kept(file: Path) -> bytes | None:
    try:
        stored = file.read_bytes()
    except OSError:
        return None
    digest, flat = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
    return flat if hashlib.sha256(flat).digest() == digest else None


def _converted(model: keras.Model, keep: Path | None) -> bytes:
    """What `convert` gives, or gave: the conversion takes longer than a thousand images."""
    converted = _kept(keep) if keep else None
    if converted is None:
        converted = convert(model)
        if keep:
            with suppress(OSError):  # It saves time, no more.
                keep.parent.mkdir(parents=True, exist_ok=True)
                with beside(keep) as own:
                    own.write_bytes(hashlib.sha256(converted).digest() + converted)
    return converted


@contextmanager
def _litert(model: keras.Model, keep: Path | None) -> Iterator[Forward]:
    from ai_edge_litert.interpreter import Interpreter

    flat = _converted(model, keep)
    idle: SimpleQueue[Any] = SimpleQueue()
    with silenced_stderr():
        for _ in range(cores()):
            interpreter = Interpreter(model_content=flat, num_threads=1)
            runner = interpreter.get_signature_runner(SIGNATURE)
            runner(pixels=np.zeros((1, *model.input_shape[1:]), np.float32))  # It says hello.
            idle.put(runner)

    def one(pixels: Array) -> list[Array]:
        runner = idle.get()
        try:
            outputs = runner(pixels=pixels[np.newaxis])
        finally:
            idle.put(runner)
        return [outputs[f"output_{index}"][0] for index in range(len(outputs))]

    with ThreadPoolExecutor(cores()) as pool:

        def forward(pixels: Array) -> list[Array]:
            return [np.stack(output) for output in zip(*pool.map(one, pixels), strict=True)]

        yield forward


@contextmanager
def _keras(model: keras.Model, _: Path | None) -> Iterator[Forward]:
    call: Callable[[Array], Any] = model.predict_on_batch
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # A compiled call alone, without what `predict_on_batch` does around it.
        spec = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)
        call = tf.function(lambda pixels: model(pixels, training=False), input_signature=[spec])

    def forward(pixels: Array) -> list[Array]:
        outputs = call(pixels)
        many = outputs if isinstance(outputs, list | tuple) else [outputs]
        return [np.asarray(keras.ops.convert_to_numpy(output), "float32") for output in many]

    yield forward


def _in_bfloat16(model: keras.Model) -> keras.Model:
    """A copy that computes in bfloat16 what takes time, for a GPU's matrix units.

    Pixels are scaled and maps are averaged in float32: of 8 bits, both would leave too little.
    """
    in_float32 = (keras.layers.Rescaling, keras.layers.GlobalAveragePooling2D)

    def copy(layer: Any) -> Any:
        config = layer.get_config()
        if isinstance(layer, keras.layers.Layer) and not isinstance(layer, in_float32):
            config["dtype"] = "mixed_bfloat16"
        return type(layer).from_config(config)

    copied = keras.models.clone_model(model, clone_function=copy, recursive=True)
    copied.set_weights(model.get_weights())
    return copied


@contextmanager
def _keras_bfloat16(model: keras.Model, keep: Path | None) -> Iterator[Forward]:
    with _keras(_in_bfloat16(model), keep) as forward:
        yield forward


_ENGINES: Final = {"litert": _litert, "keras": _keras, "keras_bfloat16": _keras_bfloat16}


def open_engine(
    model: keras.Model, engine: Engine, keep: Path | None = None
) -> AbstractContextManager[Forward]:
    """A context with the `Forward` of a network with one input and one or more outputs.

    Args:
        model: the network.
        engine: what computes it.
        keep: a file for what was converted for this very network and version of the engine; it is
            used when it is sound, and written when it is not there.
    """
    return _ENGINES[engine](model, keep)
