"""A Predict response to REST's JSON, in the layout of TensorFlow Serving's converter."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from rnnpt.serving import _tensor
from rnnpt.serving._json_writer import Writer, format_double, format_float, quote
from rnnpt.serving.error import InvalidArgument

_FLOAT, _DOUBLE, _BOOL = 1, 2, 10
_WRITTEN_AS_INTEGERS = {3, 4, 5, 6, 9, 22, 23}


def format_response(outputs: Mapping[str, Any], is_row: bool) -> str:
    """Writes the outputs of a Predict response.

    Args:
        outputs: Output name -> the official `TensorProto`, with typed values.
        is_row: True for the row format.

    Returns:
        The JSON text.

    Raises:
        InvalidArgument: If the tensors have no JSON, or in the row format no common batch
            dimension.
    """
    if not outputs:
        raise InvalidArgument("Cannot convert empty tensor map to JSON")
    writer = Writer()
    writer.open("{")
    if is_row:
        _write_rows(writer, outputs)
    else:
        _write_columns(writer, outputs)
    writer.close("}")
    return writer.text()


def format_error(text: str) -> str:
    """Writes an error's body.

    Args:
        text: The error's text.

    Returns:
        The JSON text.
    """
    writer = Writer()
    writer.open("{")
    writer.key("error")
    writer.raw(quote(text))
    writer.close("}")
    return writer.text()


def _write_columns(writer: Writer, outputs: Mapping[str, Any]) -> None:
    writer.key("outputs")
    named = len(outputs) > 1
    if named:
        writer.open("{")
    for name, tensor in outputs.items():
        if named:
            writer.key(name)
        _write_values(writer, _texts(name, tensor), _shape(tensor))
    if named:
        writer.close("}")


def _write_rows(writer: Writer, outputs: Mapping[str, Any]) -> None:
    num_rows = _batch_size(outputs)
    texts = {name: _texts(name, tensor) for name, tensor in outputs.items()}
    named = len(outputs) > 1
    writer.key("predictions")
    writer.open("[")
    for _ in range(num_rows):
        if named:
            writer.open("{")
        writer.single_line = True
        for name, tensor in outputs.items():
            if named:
                writer.key(name)
            _write_values(writer, texts[name], _shape(tensor)[1:])
        writer.single_line = False
        if named:
            writer.close("}")
    writer.close("]")


def _shape(tensor: Any) -> list[int]:
    return [dim.size for dim in tensor.tensor_shape.dim]


def _batch_size(outputs: Mapping[str, Any]) -> int:
    expected = 0
    for name, tensor in outputs.items():
        shape = _shape(tensor)
        if not shape:
            raise InvalidArgument(f"Tensor name: {name} has no shape information ")
        if shape[0] < 1:
            raise InvalidArgument(f"Tensor name: {name} has invalid batch size: {shape[0]}")
        if expected and shape[0] != expected:
            raise InvalidArgument(f"Tensor name: {name} has inconsistent batch size: {shape[0]} "
                                  f"expecting: {expected}")
        expected = shape[0]
    return expected


def _texts(name: str, tensor: Any) -> Iterator[str | bytes]:
    """Yields the values as JSON; bytes for those that become an object of base64."""
    if tensor.dtype == _FLOAT:
        return map(format_float, tensor.float_val)
    if tensor.dtype == _DOUBLE:
        return map(format_double, tensor.double_val)
    if tensor.dtype == _BOOL:
        return iter(["true" if value else "false" for value in tensor.bool_val])
    if tensor.dtype in _WRITTEN_AS_INTEGERS:
        return map(str, getattr(tensor, _tensor.VALUE_FIELDS[tensor.dtype]))
    if tensor.dtype == _tensor.STRING:
        if name.endswith("_bytes"):
            return iter(tensor.string_val)
        return (quote(value.decode("utf-8", "surrogateescape")) for value in tensor.string_val)
    raise InvalidArgument("Failed to write JSON value for tensor type: "
                          f"{_tensor.NAMES.get(tensor.dtype, tensor.dtype)}")


def _write_values(writer: Writer, texts: Iterator[str | bytes], shape: list[int]) -> None:
    if shape:
        writer.open("[")
        for _ in range(shape[0]):
            _write_values(writer, texts, shape[1:])
        writer.close("]")
        return
    text = next(texts)
    if isinstance(text, str):
        writer.raw(text)
        return
    writer.open("{")
    writer.key("b64")
    writer.raw(quote(base64.b64encode(text).decode()))
    writer.close("}")
