"""One loaded version, and one request against it: checked as the real server does, then computed.

A version is a SavedModel's graph in a session, as the real server has it. The session's loader
takes SavedModels of both kinds, those of TF 2 and those of TF 1's builder, runs a signature by the
names of its tensors, and gives its memory back when it is closed.
"""

import gc
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Final

import grpc
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.protobuf.config_pb2 import CallableOptions

from sortline.client.messages import message
from sortline.client.server_status import StatusError, invalid
from sortline.client.tensors import MAX_RANK, TensorError, from_proto, to_proto, type_name
from sortline.model.contract import CONTRACT, SERVING_DEFAULT
from sortline.standin.batching import Batcher

Array = npt.NDArray[Any]
_MAX_CALLABLES: Final = 32
_DT_STRING: Final = 7
_PREDICT: Final = "tensorflow/serving/predict"
_CLASSIFY: Final = "tensorflow/serving/classify"
_REGRESS: Final = "tensorflow/serving/regress"


class Servable:
    """One loaded version.

    Attributes:
        name: of the model.
        version: number.
        signatures: `tensorflow.SignatureDef` by name.
        is_ours: whether it brought a contract, which says what its outputs mean.
        batcher: puts requests together; None: each is computed by itself.

    Raises:
        Exception: whatever TensorFlow raises on files that are not a SavedModel it can use.
    """

    def __init__(self, name: str, version: int, folder: Path) -> None:
        self.name, self.version = name, version
        self.is_ours = (folder / CONTRACT).exists()
        self.batcher: Batcher | None = None
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph)
        self._callables: dict[tuple[str, ...], Any] = {}
        self._lock = Lock()
        try:
            with self._graph.as_default():
                meta = tf.compat.v1.saved_model.load(self._session, ["serve"], str(folder))
        except BaseException:
            self.close()
            raise
        self.signatures: Mapping[str, Any] = dict(meta.signature_def)

    def run(
        self, signature: str, feeds: Mapping[str, Array], outputs: Sequence[str]
    ) -> list[Array]:
        """Compute the named outputs; thread-safe.

        Args:
            signature: its name.
            feeds: every input by its name in the signature.
            outputs: names in the signature.

        Raises:
            tf.errors.OpError: the graph refuses the values.
            StatusError: they cannot be put into a batch.
        """
        call = self._callable(signature, outputs)
        order = sorted(self.signatures[signature].inputs)

        def compute(arrays: Mapping[str, Array]) -> list[Array]:
            return [np.asarray(value) for value in call(*(arrays[name] for name in order))]

        if self.batcher is None:
            return compute(feeds)
        return self.batcher.run((signature, *outputs), feeds, compute)

    def _callable(self, signature: str, outputs: Sequence[str]) -> Any:
        key = (signature, *outputs)
        with self._lock:
            if key in self._callables:
                return self._callables[key]
            if len(self._callables) >= _MAX_CALLABLES:
                self._callables.pop(next(iter(self._callables)))
            definition = self.signatures[signature]
            options = CallableOptions(
                feed=[definition.inputs[name].name for name in sorted(definition.inputs)],
                fetch=[definition.outputs[name].name for name in outputs],
            )
            # The public ways to run a session refuse values of another shape than the signature's;
            # the real server takes them, and its own test client sends a scalar for a vector.
            return self._callables.setdefault(
                key, self._session._make_callable_from_options(options)
            )

    def close(self) -> None:
        """Free the memory; no call may be under way."""
        self._callables.clear()
        self._session.close()
        del self._session, self._graph
        gc.collect()  # A graph is full of references in circles.


def predict(servable: Servable, request: Any) -> Any:
    """Answer a PredictRequest with a PredictResponse, in typed fields.

    Raises:
        StatusError: the request does not fit the signature.
        tf.errors.OpError: the graph refuses the values.
    """
    key = request.model_spec.signature_name or SERVING_DEFAULT
    signature = servable.signatures.get(key)
    if signature is None:
        text = f'Serving signature key "{key}" not found.'
        raise StatusError(grpc.StatusCode.FAILED_PRECONDITION, text)
    if signature.method_name not in (_PREDICT, _CLASSIFY, _REGRESS):
        raise StatusError(
            grpc.StatusCode.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{_PREDICT}, {_CLASSIFY},"
            f" {_REGRESS}}}. Was: {signature.method_name}",
        )
    feeds = _feeds(signature, request.inputs)
    outputs = _filtered(signature, request.output_filter)
    response = _response("PredictResponse", servable, request, key)
    for name, value in zip(outputs, servable.run(key, feeds, outputs), strict=True):
        response.outputs[name].CopyFrom(to_proto(value))
    return response


def _response(kind: str, servable: Servable, request: Any, key: str) -> Any:
    """An empty response that says which version and which signature gave it."""
    response = message(f"tensorflow.serving.{kind}")()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = servable.version
    response.model_spec.signature_name = key
    return response


def _set(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def _feeds(signature: Any, inputs: Any) -> dict[str, Array]:
    """The arrays of a request's inputs, by name; every one that the signature wants."""
    sent, expected = set(inputs), set(signature.inputs)
    if len(sent) != len(expected):
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(expected)}"
            f" len({_set(sent)}) != len({_set(expected)}). Sent extra: {_set(sent - expected)}."
            f" Missing but required: {_set(expected - sent)}."
        )
    for name in sorted(sent - expected):
        raise invalid(
            f"input tensor alias not found in signature: {name}."
            f" Inputs expected to be in the set {_set(expected)}."
        )
    return {name: _fed(name, signature.inputs[name].dtype, inputs[name]) for name in sorted(sent)}


def _fed(name: str, dtype: int, proto: Any) -> Array:
    if proto.dtype != dtype:
        raise invalid(
            f"Expected input {name} to be {type_name(dtype)} but {type_name(proto.dtype)} is"
            " provided."
        )
    # The last value, or an empty string, fills the rest of a shape. With numbers that is a saving;
    # with images it is one picture decoded a million times, at the word of a hundred bytes.
    sizes, count = [dim.size for dim in proto.tensor_shape.dim], len(proto.string_val)
    if dtype == _DT_STRING and len(sizes) <= MAX_RANK and math.prod(sizes) > count:
        raise invalid(f"tensor parsing error: {name}: shape {sizes} does not fit {count} value(s).")
    try:
        return from_proto(proto)
    except (TensorError, ValueError, OverflowError) as error:
        raise invalid(f"tensor parsing error: {name}: {error}") from error


def _filtered(signature: Any, names: Sequence[str]) -> list[str]:
    seen: list[str] = []
    for name in names:
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name}"
                f" Outputs expected to be in the set {_set(signature.outputs)}."
            )
        if name in seen:
            raise invalid(f"duplicate output tensor alias: {name}")
        seen.append(name)
    return sorted(seen or signature.outputs)


def _example_signature(servable: Servable, request: Any, method: str, kind: str) -> tuple[str, Any]:
    """The key and the signature, of a method that takes tf.Examples, that a request means."""
    key = request.model_spec.signature_name or SERVING_DEFAULT
    signature = servable.signatures.get(key)
    if signature is None:
        raise invalid(f"No signature was found with the name: {key}")
    if signature.method_name != method:
        raise invalid(
            f"Expected {kind} signature method_name to be {method}. Was: {signature.method_name}"
        )
    if list(signature.inputs) != ["inputs"]:
        raise invalid(f"Expected one input named inputs. Was: {_set(signature.inputs)}")
    return key, signature


def _run_examples(
    servable: Servable, request: Any, key: str, outputs: list[str]
) -> dict[str, Array]:
    """The outputs by name, each with a row for each tf.Example of the request."""
    examples = _examples(request.input)
    values = servable.run(key, {"inputs": examples}, outputs)
    for name, value in zip(outputs, values, strict=True):
        if not value.ndim or len(value) != len(examples):
            raise invalid(
                f"Expected {name} output batch size to be {len(examples)}. Was: {list(value.shape)}"
            )
    return dict(zip(outputs, values, strict=True))


def _examples(source: Any) -> Array:
    """Serialized tf.Example [N] of an `Input`; the context's features are laid under each."""
    kind = source.WhichOneof("kind")
    examples = getattr(source, kind).examples if kind else ()
    if not examples:
        raise invalid("Input is empty")
    if kind == "example_list":
        return np.array([example.SerializeToString() for example in examples], object)
    merged = []
    for example in examples:
        whole = message("tensorflow.Example")()
        whole.CopyFrom(source.example_list_with_context.context)
        for name, feature in example.features.feature.items():
            whole.features.feature[name].CopyFrom(feature)
        merged.append(whole.SerializeToString())
    return np.array(merged, object)


def classify(servable: Servable, request: Any) -> Any:
    """Answer a ClassificationRequest with a ClassificationResponse.

    Raises:
        StatusError: the request or the signature is not one of classification.
        tf.errors.OpError: the graph refuses the values.
    """
    key, signature = _example_signature(servable, request, _CLASSIFY, "classification")
    outputs = sorted({"classes", "scores"} & set(signature.outputs))
    if not outputs:
        raise invalid(f"Expected outputs classes or scores. Was: {_set(signature.outputs)}")
    values = _run_examples(servable, request, key, outputs)
    for name, value in values.items():
        if value.ndim != 2:
            raise invalid(f"Expected {name} of shape [N, classes]. Was: {list(value.shape)}")
    response = _response("ClassificationResponse", servable, request, key)
    labels, scores = values.get("classes"), values.get("scores")
    rows, classes = values[outputs[0]].shape
    for row in range(rows):
        listed = response.result.classifications.add()
        for at in range(classes):
            listed.classes.add(
                label="" if labels is None else labels[row, at],
                score=0.0 if scores is None else float(scores[row, at]),
            )
    return response


def regress(servable: Servable, request: Any) -> Any:
    """Answer a RegressionRequest with a RegressionResponse.

    Raises:
        StatusError: the request or the signature is not one of regression.
        tf.errors.OpError: the graph refuses the values.
    """
    key, signature = _example_signature(servable, request, _REGRESS, "regression")
    if list(signature.outputs) != ["outputs"]:
        raise invalid(f"Expected one output named outputs. Was: {_set(signature.outputs)}")
    values = _run_examples(servable, request, key, ["outputs"])["outputs"]
    response = _response("RegressionResponse", servable, request, key)
    if values.size != len(values):
        raise invalid(f"Expected outputs of shape [N] or [N, 1]. Was: {list(values.shape)}")
    for value in values.ravel().tolist():
        response.result.regressions.add(value=value)
    return response


# By the method of the PredictionService.
INFERENCE: Final[Mapping[str, Callable[[Servable, Any], Any]]] = {
    "Predict": predict,
    "Classify": classify,
    "Regress": regress,
}
