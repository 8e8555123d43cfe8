"""Tensor messages against TensorFlow's own way with them."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from rnnpt.serving import _tensor

NUMERIC = [number for number in _tensor.DTYPES if number != _tensor.STRING]


def values(number: int, shape: tuple[int, ...]) -> np.ndarray:
    """Any bits, but for those that Python's own numbers do not keep: a NaN's and a boolean's."""
    dtype = _tensor.DTYPES[number]
    random = np.random.default_rng(number)
    if dtype == bool:
        return random.random(shape) < 0.5
    bits = np.frombuffer(random.bytes(int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape)
    return np.where(np.isnan(bits), dtype.type(np.nan), bits) if dtype.kind == "f" else bits


@pytest.mark.parametrize("shape", [(2, 3), (), (1, 200), (0, 4), (20_000,)])
@pytest.mark.parametrize("number", NUMERIC)
def test_rows_43_44_both_forms_are_tensorflows_own(number: int, shape: tuple[int, ...]) -> None:
    array = values(number, shape)
    for as_content in (True, False):
        proto = tensor_pb2.TensorProto()
        _tensor.fill_proto(proto, array, as_content)
        assert bool(proto.tensor_content) == (as_content and array.size > 0)
        # Compared as bytes, since a NaN equals nothing.
        assert tf.make_ndarray(proto).tobytes() == array.tobytes()
        again = _tensor.from_proto(proto)
        assert (again.dtype, again.shape) == (array.dtype, array.shape)
        assert again.tobytes() == array.tobytes()


@pytest.mark.parametrize("number", [1, 2])
def test_typed_values_lie_in_the_message_as_protobuf_writes_them(number: int) -> None:
    array = values(number, (3, 50))
    array = np.where(np.isfinite(array), array, 0)
    proto, expected = tensor_pb2.TensorProto(), tensor_pb2.TensorProto(dtype=number)
    _tensor.fill_proto(proto, array, as_content=False)
    for size in array.shape:
        expected.tensor_shape.dim.add(size=size)
    getattr(expected, _tensor.VALUE_FIELDS[number]).extend(array.ravel().tolist())
    assert proto.SerializeToString() == expected.SerializeToString()


def test_an_array_in_any_order_of_memory_is_written_by_rows() -> None:
    array = values(1, (4, 6)).T[::2]
    for as_content in (True, False):
        proto = tensor_pb2.TensorProto()
        _tensor.fill_proto(proto, array, as_content)
        assert tf.make_ndarray(proto).tobytes() == array.tobytes()


@pytest.mark.parametrize(("field", "given", "expected"), [
    ("float_val", [1.5], [1.5, 1.5, 1.5]),
    ("float_val", [1.5, 2], [1.5, 2, 2]),
    ("float_val", [], [0, 0, 0]),
])
def test_row_36_missing_values_repeat_the_last(field, given, expected) -> None:
    proto = tensor_pb2.TensorProto(dtype=1)
    proto.tensor_shape.dim.add(size=3)
    getattr(proto, field).extend(given)
    assert _tensor.from_proto(proto).tolist() == expected
    assert tf.make_ndarray(proto).tolist() == expected


def test_missing_strings_repeat_the_last() -> None:
    proto = tensor_pb2.TensorProto(dtype=_tensor.STRING, string_val=[b"a", b"b"])
    proto.tensor_shape.dim.add(size=4)
    assert _tensor.from_proto(proto).tolist() == [b"a", b"b", b"b", b"b"]
    proto.string_val[:] = []
    assert _tensor.from_proto(proto).tolist() == [b""] * 4


def test_integers_wrap_around_in_a_smaller_type() -> None:
    proto = tensor_pb2.TensorProto(dtype=4, int_val=[300, -1])
    proto.tensor_shape.dim.add(size=2)
    assert _tensor.from_proto(proto).tolist() == [44, 255]


def proto_of(shape: list[int], **fields) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(**fields)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize(("proto", "text"), [
    (proto_of([1], dtype=8), "dtype and shape must be known, got dtype 8"),
    (proto_of([2, -1], dtype=1), r"dtype and shape must be known, .* shape \[2, -1\]"),
    (proto_of([2] * 255, dtype=1), r"dtype and shape must be known, .* shape \[2, 2, "),
    (proto_of([2**31], dtype=1), r"shape must hold less than 2 GiB, got \[2147483648\]"),
    (proto_of([2], dtype=1, float_val=[1, 2, 3]), "must hold every value, got 3 values"),
    (proto_of([2], dtype=1, tensor_content=b"12345"), "buffer size must be a multiple"),
    (proto_of([2], dtype=1, tensor_content=b"1234"), "cannot reshape"),
])
def test_row_35_messages_that_contradict_themselves_are_refused(proto, text) -> None:
    with pytest.raises(ValueError, match=text):
        _tensor.from_proto(proto)


def test_shapes_are_remembered_if_they_are_short() -> None:
    _tensor._recall_shape.cache_clear()
    proto = proto_of([2], dtype=1)
    assert _tensor.count_values(proto) == 2
    proto.tensor_shape.dim[0].name = 300 * "n"
    assert _tensor.from_proto(proto).tolist() == [0, 0]
    assert _tensor._recall_shape.cache_info().currsize == 1


def test_a_type_that_does_not_travel_is_refused() -> None:
    with pytest.raises(ValueError, match="dtype must be one of the wire's, got complex64; cast"):
        _tensor.fill_proto(tensor_pb2.TensorProto(), np.zeros(1, np.complex64), True)
