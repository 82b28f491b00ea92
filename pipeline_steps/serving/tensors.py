"""NumPy arrays as TensorProto and back, without TensorFlow.

Values go into the typed fields (`float_val`, `string_val`): TensorFlow Serving answers with those,
and its stock clients read nothing else. Both forms are read.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipeline_steps.errors import DataError
from pipeline_steps.serving.messages import message, name_of, number_of

Array = npt.NDArray[Any]

TensorProto: Final = message("tensorflow.TensorProto")
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
_BY_NUMBER: Final = {number_of(_ENUM, name): kind for name, kind in _KINDS.items()}
_BY_DTYPE: Final = {kind[0]: number_of(_ENUM, name) for name, kind in _KINDS.items()}
MAX_ELEMENTS: Final = 1 << 26  # A quarter of a GiB of float32: what one message may unfold to.


class TensorError(DataError):
    """A TensorProto says one thing and holds another, or is of a type that is not carried."""


def type_name(number: int) -> str:
    """A data type as TensorFlow prints it: `float`, `string`, `int64`."""
    return name_of(_ENUM, number).removeprefix("DT_").lower()


def _numbers(values: Array) -> Array:
    # Halves travel as the integers that their bits make.
    return values.view("uint16") if values.dtype == np.float16 else values


def to_proto(values: npt.ArrayLike | Sequence[bytes]) -> Any:
    """A TensorProto with typed fields.

    Args:
        values: numbers, booleans, text or bytes, of any shape.

    Raises:
        TensorError: the type is not carried, e.g. complex numbers.
    """
    array = np.asarray(values)
    if array.dtype.kind in "SU":
        array = np.asarray(values, dtype=object)
    number = _BY_DTYPE.get(array.dtype.name)
    if number is None:
        raise TensorError(f"Values of type {array.dtype} cannot be sent; send {_known()}.")
    proto = TensorProto(dtype=number)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    flat = _numbers(array.ravel()).tolist()
    if array.dtype == object:
        flat = [item.encode() if isinstance(item, str) else item for item in flat]
        if not all(isinstance(item, bytes) for item in flat):
            raise TensorError(f"Values of type object cannot be sent; send {_known()}.")
    getattr(proto, _BY_NUMBER[number][1]).extend(flat)
    return proto


def _known() -> str:
    return ", ".join(sorted(name for name in _BY_DTYPE if name != "object")) + " or bytes"


def _shape(proto: Any, max_elements: int) -> tuple[int, ...]:
    if proto.tensor_shape.unknown_rank:
        raise TensorError("A tensor of unknown rank holds no values.")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if any(size < 0 for size in shape):
        raise TensorError(f"A dimension is negative: {list(shape)}.")
    if math.prod(shape) > max_elements:
        raise TensorError(f"Shape {list(shape)} has more than {max_elements:,} elements.")
    return shape


def from_proto(proto: Any, max_elements: int = MAX_ELEMENTS) -> Array:
    """The array that a TensorProto holds; strings as an array of `bytes` objects.

    Fewer values than the shape has: the last one is repeated, as TensorFlow does.

    Raises:
        TensorError: shape and values do not agree, the shape is larger than `max_elements`, or the
            type is not carried.
    """
    if proto.dtype not in _BY_NUMBER:
        raise TensorError(f"Tensors of type {type_name(proto.dtype)} are not carried.")
    dtype, field = _BY_NUMBER[proto.dtype]
    shape = _shape(proto, max_elements)
    wanted = math.prod(shape)
    if proto.tensor_content:
        return _from_content(proto, np.dtype(dtype), shape)
    listed = getattr(proto, field)
    if len(listed) > wanted or (wanted and not listed and dtype == "object"):
        raise TensorError(f"Shape {list(shape)} does not fit {len(listed)} values.")
    return _unfold(listed, dtype, wanted).reshape(shape)


def _from_content(proto: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    content = proto.tensor_content
    if dtype.hasobject or len(content) != math.prod(shape) * dtype.itemsize:
        raise TensorError(
            f"Shape {list(shape)} of {type_name(proto.dtype)} does not fit {len(content)} bytes."
        )
    return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype).reshape(shape)


def _unfold(listed: Sequence[Any], dtype: str, wanted: int) -> Array:
    try:
        given = np.array(listed, dtype="uint16" if dtype == "float16" else dtype)
    except OverflowError as error:
        raise TensorError(f"A value does not fit {dtype}.") from error
    given = given.view("float16") if dtype == "float16" else given
    if len(given) == wanted:
        return given
    filler = given[-1:] if len(given) else np.zeros(1, dtype)
    return np.concatenate([given, np.repeat(filler, wanted - len(given))])
