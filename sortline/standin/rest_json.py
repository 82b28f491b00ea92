"""The JSON of TensorFlow Serving's REST API: a request as tensors, and tensors as its answer."""

import base64
import binascii
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sortline.client.server_status import StatusError, invalid
from sortline.client.tensors import TensorError, to_proto, type_name

Array = npt.NDArray[Any]
_INTEGERS: Final = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_DTYPES: Final = {"float": "float32", "double": "float64", "bool": "bool", "string": "object"} | {
    name: name for name in _INTEGERS
}
_KINDS: Final = {dict: "Object", list: "Array", str: "String", type(None): "Null"}
_SHOWN_CHARS: Final = 200


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a request is.

    Raises:
        StatusError: INVALID_ARGUMENT, it is none.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        parsed = json.loads(body)
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from error
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(parsed, dict):
        raise invalid(f"JSON Value: {_shown(parsed)} Is not object")
    return parsed


def _shown(value: Any) -> str:
    try:
        return json.dumps(value)[:_SHOWN_CHARS]
    except RecursionError:
        return "(deeply nested)"


def fill_instances(instances: Any, dtypes: Mapping[str, int], inputs: Any) -> None:
    """Put a request's `instances` (rows) into a PredictRequest's inputs.

    Args:
        instances: the JSON value.
        dtypes: of the signature's inputs, by name.
        inputs: of the PredictRequest.

    Raises:
        StatusError: INVALID_ARGUMENT, they do not fit the signature.
    """
    if not isinstance(instances, list):
        raise invalid(f"JSON Value: {_shown(instances)} Excepting 'instances' to be an list/array")
    if not instances:
        raise invalid("JSON Value: [] No values in 'instances' array")
    named = [isinstance(value, dict) and not _is_base64(value) for value in instances]
    if len(set(named)) > 1:
        at = named.index(not named[0])
        mismatch = "object but got list" if named[0] else "value/list but got object"
        raise invalid(f"Expecting {mismatch} at item {at} of input list")
    if not named[0] and len(dtypes) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors"
            " required as per tensorinfo_map"
        )
    rows = instances if named[0] else [{name: value} for value in instances for name in dtypes]
    for at, row in enumerate(rows):
        if row.keys() != dtypes.keys():
            raise invalid(
                f"Failed to process element: {at} of 'instances' list. JSON object: {_shown(row)}"
                f" keys must be equal to: {','.join(sorted(dtypes))}"
            )
    for name, dtype in dtypes.items():
        inputs[name].CopyFrom(_tensor([row[name] for row in rows], dtype))


def fill_inputs(value: Any, dtypes: Mapping[str, int], inputs: Any) -> None:
    """Put a request's `inputs` (columns) into a PredictRequest's inputs; see `fill_instances`.

    Raises:
        StatusError: INVALID_ARGUMENT, they do not fit the signature.
    """
    if not isinstance(value, dict) or _is_base64(value):
        if len(dtypes) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors"
                " required as per tensorinfo_map"
            )
        value = dict.fromkeys(dtypes, value)
    for name, dtype in dtypes.items():
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        inputs[name].CopyFrom(_tensor(value[name], dtype))


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str)


def _tensor(value: Any, dtype: int) -> Any:
    """A JSON value as a TensorProto of a DataType's number."""
    name = type_name(dtype)
    if name not in _DTYPES:
        raise invalid(f"Conversion of JSON to type {name} is not done here: use gRPC.")
    shape, first = [], value
    while isinstance(first, list):
        shape.append(len(first))
        if not first:
            break
        first = first[0]
    try:
        leaves = list(_leaves(value, shape, name))
        if name == "string":
            array = np.fromiter(leaves, object, len(leaves))
        else:
            array = np.array(leaves, _DTYPES[name])
        return to_proto(array.reshape(shape))
    except (OverflowError, RecursionError, TensorError, ValueError) as error:
        raise invalid(f"JSON Value: {_shown(value)} does not fit {name}: {error}") from error


def _leaves(value: Any, shape: list[int], dtype: str, level: int = 0) -> Iterable[Any]:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {_shown(value)} found at incorrect level: {level + 1} in the JSON"
                f" DOM. Expected at level: {len(shape)}"
            )
        yield _bytes(value) if dtype == "string" else _number(value, dtype)
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size:"
            f" {shape[level]}"
        )
    for item in value:
        yield from _leaves(item, shape, dtype, level + 1)


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode(errors="surrogatepass")
    if not isinstance(value, dict):
        raise _wrong_type(value, "string")
    if not _is_base64(value):
        raise invalid(f"JSON Value: {_shown(value)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error


def _number(value: Any, dtype: str) -> Any:
    """A number or truth value as it is, when the type holds it without loss."""
    is_float = dtype in ("float", "double")
    kinds = (bool,) if dtype == "bool" else (int, float) if is_float else (int,)
    if not isinstance(value, kinds) or isinstance(value, bool) != (dtype == "bool"):
        raise _wrong_type(value, dtype)
    fits = True
    if is_float and isinstance(value, int):
        fits = abs(value) < 1 << (24 if dtype == "float" else 53)
    elif is_float and math.isfinite(value):
        fits = abs(value) <= float(np.finfo(_DTYPES[dtype]).max)
    if not fits:
        raise invalid(
            f"Cannot convert JSON value: {_shown(value)} to {dtype} without loss of precision."
        )
    return value


def _wrong_type(value: Any, expected: str) -> StatusError:
    kind = str(value) if isinstance(value, bool) else _KINDS.get(type(value), "Number")
    return invalid(f"JSON Value: {_shown(value)} Type: {kind} is not of expected type: {expected}")


def answer_rows(outputs: Mapping[str, Array]) -> list[Any]:
    """The answer to `instances`: one entry an instance.

    Raises:
        StatusError: INVALID_ARGUMENT, the outputs are not one batch.
    """
    sizes = {name: len(array) if array.ndim else 0 for name, array in outputs.items()}
    first = next(iter(sizes.values()), 0)
    for name, size in sizes.items():
        if not size:
            raise invalid(
                f"Tensor name: {name} has no shape information or an empty batch; ask with 'inputs'"
            )
        if size != first:
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {size} expecting batch size:"
                f" {first}"
            )
    columns = {name: _as_json(name, array) for name, array in outputs.items()}
    if len(columns) == 1:
        return list(*columns.values())
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def answer_columns(outputs: Mapping[str, Array]) -> Any:
    """The answer to `inputs`: the value itself when there is one output."""
    columns = {name: _as_json(name, array) for name, array in outputs.items()}
    return next(iter(columns.values())) if len(columns) == 1 else columns


def _as_json(name: str, array: Array) -> Any:
    """Nested lists; bytes are base64 in an output whose name ends with `_bytes`, else text."""
    if not array.size:
        return array.tolist()
    leaves: list[Any] = []
    for value in array.ravel():
        if not isinstance(value, bytes):
            # The shortest text of this float32, not all digits of the double that it becomes.
            leaves.append(float(str(value)) if isinstance(value, np.floating) else value.item())
        elif name.endswith("_bytes"):
            leaves.append({"b64": base64.b64encode(value).decode()})
        else:
            leaves.append(value.decode(errors="replace"))
    for size in reversed(array.shape[1:]):
        leaves = [leaves[start : start + size] for start in range(0, len(leaves), size)]
    return leaves if array.ndim else leaves[0]
