"""Arrays travel as TensorFlow would send them, and a tensor that lies is no array."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from sortline.client.messages import message
from sortline.client.tensors import (
    MAX_ELEMENTS,
    TensorError,
    from_proto,
    to_proto,
    type_name,
)

Array = npt.NDArray[Any]
NUMBERS = (
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
)
SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (5,), (2, 3), (0,), (3, 0, 2), (1, 1, 1, 1))


def drawn(dtype: str, shape: tuple[int, ...]) -> Array:
    """Numbers over the whole range of their type."""
    generator = np.random.default_rng(0)
    if dtype == "bool":
        return generator.integers(0, 2, shape).astype(bool)
    if dtype.startswith("float"):
        return generator.normal(0, 100, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def theirs(proto: Any) -> Any:
    """The same message as TensorFlow's class."""
    return tensor_pb2.TensorProto.FromString(proto.SerializeToString())


def ours(proto: Any) -> Any:
    return message("tensorflow.TensorProto").FromString(proto.SerializeToString())


def assert_same(found: Array, wanted: Array) -> None:
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [*NUMBERS, "bool"])
def test_numbers_are_read_alike_on_both_sides(dtype: str, shape: tuple[int, ...]) -> None:
    values = drawn(dtype, shape)
    proto = to_proto(values)
    assert not proto.tensor_content, "stock clients read typed fields alone"
    assert_same(tf.make_ndarray(theirs(proto)), values)
    assert_same(from_proto(proto), values)
    assert_same(from_proto(ours(tf.make_tensor_proto(values))), values)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_is_no_number_travels_too(dtype: str) -> None:
    values = np.array([np.nan, np.inf, -np.inf, -0.0, np.finfo(dtype).max], dtype)
    found = from_proto(to_proto(values))
    assert_same(found, values)
    assert np.signbit(found[3])
    assert_same(tf.make_ndarray(theirs(to_proto(values))), values)


@pytest.mark.parametrize(
    "values",
    [b"one", b"", b"cut\0off\0\0", [b"a\0", b"", b"longer than the others" * 9], [[b"a"], [b"b"]]],
)
def test_bytes_are_the_same_message_as_tensorflows(values: Any) -> None:
    proto = to_proto(values)
    assert proto.SerializeToString() == tf.make_tensor_proto(values, tf.string).SerializeToString()
    found, wanted = from_proto(proto), tf.make_ndarray(theirs(proto))
    assert found.shape == wanted.shape
    assert found.tolist() == wanted.tolist()


def test_text_is_sent_as_utf8() -> None:
    assert from_proto(to_proto(["glass", "café"])).tolist() == [b"glass", "café".encode()]
    assert from_proto(to_proto(np.array([["x"], ["ü"]]))).tolist() == [[b"x"], ["ü".encode()]]
    assert from_proto(to_proto("x")).tolist() == b"x"


def test_no_strings_at_all_are_strings() -> None:
    proto = to_proto(np.array([], dtype=object))
    assert type_name(proto.dtype) == "string"
    assert from_proto(proto).tolist() == []


def test_layout_in_memory_does_not_matter() -> None:
    for dtype in ("float16", "float32", "int64"):
        values = drawn(dtype, (4, 6))
        for same in (
            values.T.copy().T,
            values[::-1][::-1],
            values.astype(f">{values.dtype.str[1:]}"),
        ):
            assert_same(from_proto(to_proto(same)), values)


@pytest.mark.parametrize("dtype", [*NUMBERS, "bool", "object"])
@pytest.mark.parametrize("given", [0, 1, 2])
def test_the_last_value_fills_up_the_shape_as_in_tensorflow(dtype: str, given: int) -> None:
    values = [b"x", b"y"][:given] if dtype == "object" else drawn(dtype, (given,)).tolist()
    proto = to_proto(np.array(values, dtype))
    proto.tensor_shape.CopyFrom(to_proto(np.zeros((2, 3))).tensor_shape)
    found, wanted = from_proto(proto), tf.make_ndarray(theirs(proto))
    assert found.shape == (2, 3)
    if given:
        np.testing.assert_array_equal(found, wanted.astype(found.dtype))
    else:  # Of strings, TensorFlow's Python makes text of nothing, and its C++ empty strings.
        assert not found.any()


def shaped(*sizes: int, **values: Any) -> Any:
    proto = message("tensorflow.TensorProto")(dtype=1, **values)
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize(
    ("proto", "said"),
    [
        (shaped(2, float_val=[1, 2, 3]), r"Shape \[2\] does not fit 3 values"),
        (shaped(0, float_val=[1]), r"Shape \[0\] does not fit 1 values"),
        (shaped(3, tensor_content=b"\0" * 8), r"Shape \[3\] of float does not fit 8 bytes"),
        (shaped(0, tensor_content=b"\0" * 4), "does not fit 4 bytes"),
        (shaped(-1, float_val=[1]), "negative"),
        (shaped(1 << 62, float_val=[1]), "more than 16,777,216 elements"),
        (shaped(*[1 << 62] * 8, float_val=[1]), "more than 16,777,216 elements"),
        (shaped(0, 1 << 62), "more than 16,777,216 elements"),
        (shaped(MAX_ELEMENTS + 1, float_val=[1]), "more than 16,777,216 elements"),
        (shaped(*[1] * 65, float_val=[1]), "65 dimensions"),
        (shaped(*[1 << 62] * 100_000), "100000 dimensions"),
    ],
)
def test_shapes_that_lie_or_are_huge_are_refused(proto: Any, said: str) -> None:
    with pytest.raises(TensorError, match=said):
        from_proto(proto)


def test_an_unknown_rank_is_refused() -> None:
    proto = shaped(float_val=[1])
    proto.tensor_shape.unknown_rank = True
    with pytest.raises(TensorError, match="unknown rank"):
        from_proto(proto)


def test_a_caller_may_allow_less() -> None:
    with pytest.raises(TensorError, match="more than 3 elements"):
        from_proto(to_proto([1, 2, 3, 4]), max_elements=3)


@pytest.mark.parametrize("dtype", [6, 4, 19])  # int8, uint8, half
def test_a_value_beyond_its_type_is_refused(dtype: int) -> None:
    proto = shaped(1)
    proto.dtype = dtype
    (proto.half_val if dtype == 19 else proto.int_val).append(70_000)
    with pytest.raises(TensorError, match="does not fit"):
        from_proto(proto)


def test_bytes_as_content_are_refused() -> None:
    proto = shaped(1, tensor_content=b"x")
    proto.dtype = 7
    with pytest.raises(TensorError, match="of string does not fit"):
        from_proto(proto)


def test_any_byte_but_zero_is_true() -> None:
    proto = shaped(3, tensor_content=b"\0\1\2")
    proto.dtype = 10
    found = from_proto(proto)
    assert found.tolist() == [False, True, True]
    assert found.view("uint8").tolist() == [0, 1, 1]


@pytest.mark.parametrize("dtype", [0, 8, 14, 20, 999])  # none, complex64, bfloat16, resource
def test_other_types_are_named_and_refused(dtype: int) -> None:
    proto = shaped(1)
    proto.dtype = dtype
    with pytest.raises(TensorError, match=f"type {type_name(dtype)} are not carried"):
        from_proto(proto)


@pytest.mark.parametrize("values", [[1j], [[1], [1, 2]], [b"x", 1], [None], [object()], 1 << 70])
def test_what_cannot_be_sent_is_refused(values: Any) -> None:
    with pytest.raises(TensorError):
        to_proto(values)


def test_many_images_of_unlike_lengths_take_no_more_memory_than_they_have() -> None:
    import tracemalloc

    images = [b"x" * 4_000_000, *[b"small"] * 1000]
    tracemalloc.start()
    to_proto(images)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40_000_000
