"""REST's JSON as tensors, as TensorFlow Serving's REST API has it."""

import base64
import binascii
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from sortline.client.server_status import invalid
from sortline.client.tensors import TensorError, to_proto, type_name

Shape = tuple[int, ...]
_DTYPES: Final = {
    "float": np.float32,
    "double": np.float64,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "uint8": np.uint8,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "bool": np.bool_,
    "string": object,
}
_KINDS: Final = {dict: "Object", list: "Array", str: "String", bool: "True", type(None): "Null"}
_SHOWN_CHARS: Final = 200


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a request is.

    Raises:
        StatusError: INVALID_ARGUMENT, it is none.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        found = json.loads(body)
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from error
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(found, dict):
        raise invalid(f"JSON Value: {_shown(found)} Is not object")
    return found


def _shown(value: Any) -> str:
    try:
        return json.dumps(value)[:_SHOWN_CHARS]
    except RecursionError:
        return "(deeply nested)"


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str)


def _wrong_type(value: Any, wanted: str) -> Exception:
    kind = _KINDS.get(type(value), "Number") if value is not False else "False"
    return invalid(f"JSON Value: {_shown(value)} Type: {kind} is not of expected type: {wanted}")


def _leaf(value: Any, dtype: str) -> Any:
    if dtype == "string":
        return _bytes(value)
    if dtype == "bool":
        fits = isinstance(value, bool)
    elif dtype in ("float", "double"):
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        fits = isinstance(value, int) and not isinstance(value, bool)
    if not fits:
        raise _wrong_type(value, dtype)
    if dtype in ("float", "double"):
        _check_lossless(value, dtype)
    return value


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


def _check_lossless(value: float, dtype: str) -> None:
    digits = 24 if dtype == "float" else 53
    if isinstance(value, int):
        fits = abs(value) < 1 << digits
    else:
        fits = not math.isfinite(value) or abs(value) <= float(np.finfo(_DTYPES[dtype]).max)
    if not fits:
        raise invalid(
            f"Cannot convert JSON value: {_shown(value)} to {dtype} without loss of precision."
        )


def _shape(value: Any) -> Shape:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _leaves(value: Any, shape: Shape, dtype: str, level: int = 0) -> Iterable[Any]:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {_shown(value)} found at incorrect level: {level + 1} in the JSON"
                f" DOM. Expected at level: {len(shape)}"
            )
        yield _leaf(value, dtype)
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size:"
            f" {shape[level]}"
        )
    for each in value:
        yield from _leaves(each, shape, dtype, level + 1)


def to_tensor(value: Any, dtype: int) -> Any:
    """A JSON value as a TensorProto of a DataType's number.

    Raises:
        StatusError: INVALID_ARGUMENT, it is ragged, or holds something else.
    """
    name = type_name(dtype)
    if name not in _DTYPES:
        raise invalid(f"Conversion of JSON to type {name} is not done here: use gRPC.")
    try:
        shape = _shape(value)
        listed = list(_leaves(value, shape, name))
        if name == "string":
            array = np.fromiter(listed, object, len(listed))
        else:
            array = np.array(listed, _DTYPES[name])
        return to_proto(array.reshape(shape))
    except (OverflowError, RecursionError, TensorError, ValueError) as error:
        raise invalid(f"JSON Value: {_shown(value)} does not fit {name}: {error}") from error


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
    named = [isinstance(each, dict) and not _is_base64(each) for each in instances]
    if len(set(named)) > 1:
        at = named.index(not named[0])
        wanted = "object but got list" if named[0] else "value/list but got object"
        raise invalid(f"Expecting {wanted} at item {at} of input list")
    if not named[0] and len(dtypes) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors"
            " required as per tensorinfo_map"
        )
    rows = instances if named[0] else [{name: each} for each in instances for name in dtypes]
    for at, row in enumerate(rows):
        if row.keys() != dtypes.keys():
            raise invalid(
                f"Failed to process element: {at} of 'instances' list. JSON object: {_shown(row)}"
                f" keys must be equal to: {','.join(sorted(dtypes))}"
            )
    for name, dtype in dtypes.items():
        inputs[name].CopyFrom(to_tensor([row[name] for row in rows], dtype))


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
        inputs[name].CopyFrom(to_tensor(value[name], dtype))
