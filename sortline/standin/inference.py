"""One request against one loaded version: checked as the real server checks it, then computed."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import grpc
import numpy as np
import numpy.typing as npt

from sortline.client.messages import message
from sortline.client.server_status import StatusError, invalid
from sortline.client.tensors import (
    MAX_RANK,
    TensorError,
    from_proto,
    to_proto,
    type_name,
)
from sortline.model.contract import SERVING_DEFAULT
from sortline.standin.loading import Servable

Array = npt.NDArray[Any]
_DT_STRING: Final = 7
PREDICT: Final = "tensorflow/serving/predict"
CLASSIFY: Final = "tensorflow/serving/classify"
REGRESS: Final = "tensorflow/serving/regress"


def predict(servable: Servable, request: Any) -> Any:
    """Answer a PredictRequest with a PredictResponse, in typed fields.

    Raises:
        StatusError: the request does not fit the signature.
        tf.errors.OpError: the graph refuses the values.
    """
    key = request.model_spec.signature_name or SERVING_DEFAULT
    signature = servable.signatures.get(key)
    if signature is None:
        raise StatusError(
            grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{key}" not found.'
        )
    if signature.method_name not in (PREDICT, CLASSIFY, REGRESS):
        raise StatusError(
            grpc.StatusCode.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{PREDICT}, {CLASSIFY},"
            f" {REGRESS}}}. Was: {signature.method_name}",
        )
    feeds = _feeds(signature, request.inputs)
    outputs = _filtered(signature, request.output_filter)
    response = message("tensorflow.serving.PredictResponse")()
    _fill_spec(response.model_spec, servable, request, key)
    for name, value in zip(outputs, servable.run(key, feeds, outputs), strict=True):
        response.outputs[name].CopyFrom(to_proto(value))
    return response


def _fill_spec(spec: Any, servable: Servable, request: Any, key: str) -> None:
    spec.name = request.model_spec.name
    spec.version.value = servable.version
    spec.signature_name = key


def _set(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def _feeds(signature: Any, inputs: Any) -> dict[str, Array]:
    sent, wanted = set(inputs), set(signature.inputs)
    if len(sent) != len(wanted):
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(wanted)}"
            f" len({_set(sent)}) != len({_set(wanted)}). Sent extra: {_set(sent - wanted)}."
            f" Missing but required: {_set(wanted - sent)}."
        )
    for name in sorted(sent - wanted):
        raise invalid(
            f"input tensor alias not found in signature: {name}."
            f" Inputs expected to be in the set {_set(wanted)}."
        )
    return {name: _fed(name, signature.inputs[name].dtype, inputs[name]) for name in sorted(sent)}


def _fed(name: str, dtype: int, proto: Any) -> Array:
    if proto.dtype != dtype:
        raise invalid(
            f"Expected input {name} to be {type_name(dtype)} but {type_name(proto.dtype)} is"
            " provided."
        )
    if dtype == _DT_STRING:
        _check_all_given(name, proto)
    try:
        return from_proto(proto)
    except (TensorError, ValueError, OverflowError) as error:
        raise invalid(f"tensor parsing error: {name}: {error}") from error


def _check_all_given(name: str, proto: Any) -> None:
    # The last value, or an empty string, fills the rest of a shape. With numbers that is a saving;
    # with images it is one picture decoded a million times, at the word of a hundred bytes.
    sizes, given = [dim.size for dim in proto.tensor_shape.dim], len(proto.string_val)
    if len(sizes) <= MAX_RANK and math.prod(sizes) > given:
        raise invalid(f"tensor parsing error: {name}: shape {sizes} does not fit {given} value(s).")


def _filtered(signature: Any, wanted: Sequence[str]) -> list[str]:
    seen: list[str] = []
    for name in wanted:
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


def _examples(source: Any) -> Array:
    """Serialized tf.Example [N] of an `Input`; the context's features are laid under each."""
    which = source.WhichOneof("kind")
    listed = getattr(source, which) if which else None
    if listed is None or not listed.examples:
        raise invalid("Input is empty")
    if which == "example_list":
        return np.array([each.SerializeToString() for each in listed.examples], object)
    merged = []
    for each in listed.examples:
        whole = message("tensorflow.Example")()
        whole.CopyFrom(listed.context)
        for name, feature in each.features.feature.items():
            whole.features.feature[name].CopyFrom(feature)
        merged.append(whole.SerializeToString())
    return np.array(merged, object)


def _ask(servable: Servable, request: Any, key: str, outputs: list[str]) -> dict[str, Array]:
    examples = _examples(request.input)
    values = servable.run(key, {"inputs": examples}, outputs)
    found = dict(zip(outputs, values, strict=True))
    for name, value in found.items():
        if not value.ndim or len(value) != len(examples):
            raise invalid(
                f"Expected {name} output batch size to be {len(examples)}. Was: {list(value.shape)}"
            )
    return found


def classify(servable: Servable, request: Any) -> Any:
    """Answer a ClassificationRequest with a ClassificationResponse.

    Raises:
        StatusError: the request or the signature is not one of classification.
        tf.errors.OpError: the graph refuses the values.
    """
    key, signature = _example_signature(servable, request, CLASSIFY, "classification")
    outputs = sorted({"classes", "scores"} & set(signature.outputs))
    if not outputs:
        raise invalid(f"Expected outputs classes or scores. Was: {_set(signature.outputs)}")
    found = _ask(servable, request, key, outputs)
    for name, value in found.items():
        if value.ndim != 2:
            raise invalid(f"Expected {name} of shape [N, classes]. Was: {list(value.shape)}")
    response = message("tensorflow.serving.ClassificationResponse")()
    _fill_spec(response.model_spec, servable, request, key)
    labels, scores = found.get("classes"), found.get("scores")
    for row in range(len(found[outputs[0]])):
        _add_classes(
            response.result.classifications.add(),
            None if labels is None else labels[row],
            None if scores is None else scores[row],
        )
    return response


def _add_classes(target: Any, labels: Array | None, scores: Array | None) -> None:
    size = len(labels) if labels is not None else len(scores) if scores is not None else 0
    for at in range(size):
        target.classes.add(
            label=labels[at] if labels is not None else "",
            score=float(scores[at]) if scores is not None else 0.0,
        )


def regress(servable: Servable, request: Any) -> Any:
    """Answer a RegressionRequest with a RegressionResponse.

    Raises:
        StatusError: the request or the signature is not one of regression.
        tf.errors.OpError: the graph refuses the values.
    """
    key, signature = _example_signature(servable, request, REGRESS, "regression")
    if list(signature.outputs) != ["outputs"]:
        raise invalid(f"Expected one output named outputs. Was: {_set(signature.outputs)}")
    found = _ask(servable, request, key, ["outputs"])["outputs"]
    response = message("tensorflow.serving.RegressionResponse")()
    _fill_spec(response.model_spec, servable, request, key)
    if found.size != len(found):
        raise invalid(f"Expected outputs of shape [N] or [N, 1]. Was: {list(found.shape)}")
    for value in found.ravel().tolist():
        response.result.regressions.add(value=value)
    return response


def metadata(servable: Servable, request: Any) -> Any:
    """Answer a GetModelMetadataRequest, whose fields were checked, with the signatures."""
    response = message("tensorflow.serving.GetModelMetadataResponse")()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = servable.version
    signatures = message("tensorflow.serving.SignatureDefMap")()
    for name, definition in servable.signatures.items():
        signatures.signature_def[name].ParseFromString(definition.SerializeToString())
    response.metadata["signature_def"].Pack(signatures)
    return response
