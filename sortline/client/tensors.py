"""NumPy arrays as TensorProto and back, without TensorFlow.

Values go into the typed fields (`float_val`, `string_val`): TensorFlow Serving answers with those,
and its stock clients read nothing else. Both forms are read.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sortline.client.messages import message, name_of, number_of
from sortline.core.errors import DataError

Array = npt.NDArray[Any]

_ENUM: Final = "tensorflow.DataType"
# tensorflow/core/framework/tensor.proto: which field holds the values of which type.
_KINDS: Final = {
    "DT_FLOAT": ("float32", "float_val"),
    "DT_DOUBLE": ("float64", "double_val"),
    "DT_INT32": ("int32", "int_val"),
    "DT_UINT8": ("uint8", "int_val"),
    "DT_INT16": ("int16", "int_val"),
    "DT_INT8": ("int8", "int_val"),
    "DT_UINT16": ("uint16", "int_val"),
    "DT_STRING": ("object", "string_val"),
    "DT_INT64": ("int64", "int64_val"),
    "DT_BOOL": ("bool", "bool_val"),
    "DT_UINT32": ("uint32", "uint32_val"),
    "DT_UINT64": ("uint64", "uint64_val"),
    "DT_HALF": ("float16", "half_val"),
}
# 111 pictures of 224 x 224 x 3. A message of twenty bytes may claim any shape, and one value fills
# all of it: 128 MiB is what a liar can make us set aside.
MAX_ELEMENTS: Final = 1 << 24
MAX_RANK: Final = 64  # NumPy's; TensorFlow allows 254.


class TensorError(DataError):
    """A TensorProto says one thing and holds another, or is of a type that is not carried."""


@functools.cache
def _by_number() -> dict[int, tuple[str, str]]:
    return {number_of(_ENUM, name): kind for name, kind in _KINDS.items()}


@functools.cache
def _by_dtype() -> dict[str, tuple[int, str]]:
    return {dtype: (number, field) for number, (dtype, field) in _by_number().items()}


def type_name(number: int) -> str:
    """A data type as TensorFlow prints it: `float`, `string`, `int64`."""
    return name_of(_ENUM, number).removeprefix("DT_").lower()


def to_proto(values: npt.ArrayLike | Sequence[bytes]) -> Any:
    """A TensorProto with typed fields.

    Args:
        values: numbers, booleans, text or bytes, of any shape; NumPy decides on the type, so that
            Python's integers are int64.

    Raises:
        TensorError: the type is not carried, e.g. complex numbers, or the lists are ragged.
    """
    array = _as_array(values)
    if array.dtype.name not in _by_dtype():
        raise _not_sent(array.dtype.name)
    number, field = _by_dtype()[array.dtype.name]
    proto = message("tensorflow.TensorProto")(dtype=number)
    proto.tensor_shape.SetInParent()  # Of a scalar too, as TensorFlow does.
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    # Halves travel as the integers that their bits make.
    flat = (array.view("uint16") if field == "half_val" else array).ravel().tolist()
    getattr(proto, field).extend(_as_bytes(flat) if field == "string_val" else flat)
    return proto


def _as_array(values: Any) -> Array:
    if isinstance(values, list | tuple) and values and isinstance(values[0], str | bytes):
        # NumPy would pad every image to the length of the longest, and cut zeros off its end.
        return np.fromiter(values, dtype=object, count=len(values))
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError) as error:
        raise TensorError(f"The values make no tensor: {error}.") from error
    if array.dtype.kind in "SU":
        array = np.asarray(values, dtype=object)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _as_bytes(values: list[Any]) -> list[bytes]:
    encoded = [value.encode() if isinstance(value, str) else value for value in values]
    if strange := [value for value in encoded if not isinstance(value, bytes)]:
        raise _not_sent(f"object ({type(strange[0]).__name__})")
    return encoded


def _not_sent(kind: str) -> TensorError:
    kinds = ", ".join(sorted(name for name in _by_dtype() if name != "object"))
    return TensorError(f"Values of type {kind} cannot be sent; send {kinds} or bytes.")


def _shape(proto: Any, max_elements: int) -> tuple[int, ...]:
    if proto.tensor_shape.unknown_rank:
        raise TensorError("A tensor of unknown rank holds no values.")
    # Before anything is multiplied: a message has room for a million dimensions.
    if len(proto.tensor_shape.dim) > MAX_RANK:
        raise TensorError(f"{len(proto.tensor_shape.dim)} dimensions; at most {MAX_RANK}.")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if any(size < 0 for size in shape):
        raise TensorError(f"A dimension is negative: {list(shape)}.")
    # Zeros are left out: no array is 0 x 2**62, though it would hold nothing.
    if math.prod(size or 1 for size in shape) > max_elements:
        raise TensorError(f"Shape {list(shape)} has more than {max_elements:,} elements.")
    return shape


def from_proto(proto: Any, max_elements: int = MAX_ELEMENTS) -> Array:
    """The array that a TensorProto holds; strings as an array of `bytes` objects.

    Fewer values than the shape has: the last one is repeated, and nothing at all means zeros or
    empty strings, as in TensorFlow.

    Raises:
        TensorError: shape and values do not agree, the shape is larger than `max_elements`, or the
            type is not carried.
    """
    if proto.dtype not in _by_number():
        raise TensorError(f"Tensors of type {type_name(proto.dtype)} are not carried.")
    dtype, field = _by_number()[proto.dtype]
    shape = _shape(proto, max_elements)
    size = math.prod(shape)
    if proto.tensor_content:
        return _from_content(proto, np.dtype(dtype), shape)
    listed = getattr(proto, field)
    if len(listed) > size:
        raise TensorError(f"Shape {list(shape)} does not fit {len(listed)} values.")
    return _filled_up(_given(listed, dtype), size).reshape(shape)


def _from_content(proto: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    content = proto.tensor_content
    if dtype.hasobject or len(content) != math.prod(shape) * dtype.itemsize:
        raise TensorError(
            f"Shape {list(shape)} of {type_name(proto.dtype)} does not fit {len(content)} bytes."
        )
    if dtype == np.bool_:  # Any byte may come, and only 0 and 1 make a boolean.
        truths: Array = np.frombuffer(content, "uint8") != 0
        return truths.reshape(shape)
    return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype).reshape(shape)


def _given(listed: Sequence[Any], dtype: str) -> Array:
    if dtype == "object":
        return np.fromiter(listed, dtype=object, count=len(listed))
    sent = np.array(listed)  # Of small integers and halves: int32.
    values: Array = sent.astype("uint16" if dtype == "float16" else dtype)
    if values.dtype.kind in "iu" and not np.array_equal(values, sent):
        raise TensorError(f"A value does not fit {dtype}.")
    return values.view("float16") if dtype == "float16" else values


def _filled_up(values: Array, size: int) -> Array:
    if len(values) == size:
        return values
    filled = np.full(size, b"" if values.dtype == object else 0, dtype=values.dtype)
    filled[: len(values)] = values
    if len(values):
        filled[len(values) :] = values[-1]
    return filled
