"""NumPy arrays to tensor messages and back.

The functions take the official `TensorProto` and the client's own, whose fields have the same
names.
"""

import functools
import math
from typing import Any

import numpy as np

# TensorFlow's numbers of the types that cross the wire (its types.proto).
DTYPES: dict[int, np.dtype] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.float64),
    3: np.dtype(np.int32),
    4: np.dtype(np.uint8),
    5: np.dtype(np.int16),
    6: np.dtype(np.int8),
    7: np.dtype(object),
    9: np.dtype(np.int64),
    10: np.dtype(np.bool_),
    17: np.dtype(np.uint16),
    19: np.dtype(np.float16),
    22: np.dtype(np.uint32),
    23: np.dtype(np.uint64),
}
NUMBERS = {dtype: number for number, dtype in DTYPES.items()}
# Also the names that REST's metadata uses, with the prefix "DT_" and in capitals.
NAMES = {
    1: "float", 2: "double", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string",
    9: "int64", 10: "bool", 14: "bfloat16", 17: "uint16", 19: "half", 22: "uint32", 23: "uint64",
}
# The bytes of `tensor_content`.
_WIRE_DTYPES = {number: dtype.newbyteorder("<") for number, dtype in DTYPES.items()}
STRING = 7
HALF = 19
# The typed field that holds a type's values when they do not travel as bytes.
VALUE_FIELDS = {
    1: "float_val", 2: "double_val", 3: "int_val", 4: "int_val", 5: "int_val", 6: "int_val",
    7: "string_val", 9: "int64_val", 10: "bool_val", 17: "int_val", 19: "half_val",
    22: "uint32_val", 23: "uint64_val",
}
# Heads of the packed fields whose bytes are those of `tensor_content`: to merge these in is many
# times faster than to hand over one number after the other.
_PACKED_TAGS = {1: b"\x2a", 2: b"\x32"}
# A message cannot be longer than this, nor should one that repeats a value unpack to more.
_MAX_BYTES = 2**31 - 1
# Of a shape that is remembered. Dimensions may have names, which are as long as a caller likes.
_MAX_KNOWN_BYTES = 255
# The product of more would take long. Source: TensorFlow's tensor_shape.h, MaxDimensions.
_MAX_DIMENSIONS = 254


def from_proto(proto: Any) -> np.ndarray:
    """Reads a tensor message.

    As in TensorFlow, values that are missing at the end repeat the last one (zero where there are
    none), and integers wrap around in a smaller type.

    Args:
        proto: A `TensorProto`, with typed values or with `tensor_content`.

    Returns:
        The array, of objects (bytes) for strings.

    Raises:
        ValueError: If the type, the shape and the values do not fit together.
    """
    number, content = proto.dtype, proto.tensor_content
    dtype = DTYPES.get(number)
    shape, count = _read_shape(proto.tensor_shape)
    if dtype is None or count is None:
        raise ValueError(f"dtype and shape must be known, got dtype {number}, shape {shape}")
    if count * dtype.itemsize > _MAX_BYTES:
        raise ValueError(f"shape must hold less than 2 GiB, got {shape}")
    if content and number != STRING:
        return np.frombuffer(content, _WIRE_DTYPES[number]).astype(dtype).reshape(shape)
    values = getattr(proto, VALUE_FIELDS[number])
    if len(values) > count:
        raise ValueError(f"shape {shape} must hold every value, got {len(values)} values")
    array = _array(values, number, dtype)
    if len(array) < count:
        given, array = array, np.empty(count, dtype)
        array[:len(given)] = given
        array[len(given):] = given[-1] if len(given) else (b"" if number == STRING else 0)
    return array.reshape(shape)


def count_values(proto: Any) -> int:
    """Counts the values that a tensor message stands for, which may be more than it holds.

    Args:
        proto: A `TensorProto`.

    Returns:
        How many its shape tells of, 0 if they are not known.
    """
    return _read_shape(proto.tensor_shape)[1] or 0


def _read_shape(proto: Any) -> tuple[list[int], int | None]:
    """The sizes of a shape, and how many numbers it holds if they are known."""
    message_class: Any = type(proto)
    data = proto.SerializeToString()
    read = _recall_shape if len(data) <= _MAX_KNOWN_BYTES else _parse_shape
    return read(message_class, data)


def _parse_shape(message_class: Any, data: bytes) -> tuple[list[int], int | None]:
    proto = message_class.FromString(data)
    shape = [dim.size for dim in proto.dim]
    is_known = (not proto.unknown_rank and len(shape) <= _MAX_DIMENSIONS
                and min(shape, default=0) >= 0)
    return shape, math.prod(shape) if is_known else None


# A player's tensors have the same few shapes with every request, and each number of a message that
# is looked at is an object of its own.
_recall_shape = functools.lru_cache(1024)(_parse_shape)


def _array(values: Any, number: int, dtype: np.dtype) -> np.ndarray:
    """Copies a repeated field; NumPy reads its memory where protobuf lets it."""
    if number == STRING:
        strings = np.empty(len(values), object)
        strings[:] = list(values)
        return strings
    if number == HALF:
        return np.array(values, np.int64).astype(np.uint16).view(np.float16)
    if VALUE_FIELDS[number] == "int_val":
        return np.array(values, np.int64).astype(dtype)
    return np.array(values, dtype)


def fill_proto(proto: Any, array: np.ndarray, as_content: bool) -> None:
    """Writes an array into an empty tensor message.

    Args:
        proto: The `TensorProto` to fill.
        array: The values; strings as an array of objects, each bytes.
        as_content: True for `tensor_content`, compact and fast; False for typed values, the form in
            which TensorFlow Serving answers. Strings always travel as typed values.

    Raises:
        ValueError: If no tensor of the wire has the array's type.
    """
    number = NUMBERS.get(array.dtype)
    if number is None:
        raise ValueError(f"dtype must be one of the wire's, got {array.dtype}; cast the array")
    proto.dtype = number
    proto.tensor_shape.SetInParent()
    dims = proto.tensor_shape.dim
    for size in array.shape:
        dims.add().size = size
    if as_content and number != STRING:
        proto.tensor_content = _content(array, number)
    elif number in _PACKED_TAGS:
        content = _content(array, number)
        proto.MergeFromString(_PACKED_TAGS[number] + _varint(len(content)) + content)
    elif number == HALF:
        proto.half_val.extend(array.ravel().view(np.uint16).tolist())
    else:
        getattr(proto, VALUE_FIELDS[number]).extend(array.ravel().tolist())


def _content(array: np.ndarray, number: int) -> bytes:
    return array.astype(_WIRE_DTYPES[number], copy=False).tobytes()


def _varint(size: int) -> bytes:
    """Protobuf's form of a length: seven bits a byte, the lowest first."""
    parts = []
    while size > 127:
        parts.append(size & 127 | 128)
        size >>= 7
    return bytes([*parts, size])
