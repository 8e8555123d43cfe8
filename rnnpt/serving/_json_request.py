"""REST's JSON to a Predict request.

Reproduces TensorFlow Serving's converter: its two formats (row, "instances", which adds the batch
dimension; columnar, "inputs", which does not), its checks in their order, and their words. What
comes out is the message that gRPC carries, so both fronts share everything else.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from rnnpt.serving import _tensor
from rnnpt.serving._json_document import (
    decode_base64,
    is_base64,
    is_list,
    misformatted,
    read_document,
)
from rnnpt.serving._json_parser import JsonObject
from rnnpt.serving._json_writer import debug_text, type_name
from rnnpt.serving.error import InvalidArgument, ServingError, Unimplemented

_INTEGER_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
# Small integers are only checked against 32 bits; the tensor wraps them later.
_RANGE_OF = {3: "int32", 4: "int32", 5: "int32", 6: "int32", 9: "int64", 22: "uint32", 23: "uint64"}
_FLOAT, _DOUBLE, _BOOL = 1, 2, 10
_MAX_FLOAT = 3.4028234663852886e38


def fill_request(
    body: bytes, request: Any, find_inputs: Callable[[str], Mapping[str, Any]]
) -> bool:
    """Fills a Predict request from a REST body.

    Args:
        body: The JSON text.
        request: The official `PredictRequest`; its signature name and inputs are set.
        find_inputs: Signature name ("" for the default) -> input name -> `TensorInfo`; raises if
            the model or the signature is unknown.

    Returns:
        True for the row format.

    Raises:
        InvalidArgument: If the text is no JSON or does not fit the signature.
    """
    document, request.model_spec.signature_name = read_document(body)
    infos = find_inputs(request.model_spec.signature_name)
    if not infos:
        raise InvalidArgument("Failed to get input map for signature: "
                              f"{request.model_spec.signature_name or 'DEFAULT'}")
    instances, inputs = document.find("instances"), document.find("inputs")
    if instances is None and inputs is None:
        raise InvalidArgument("Missing 'inputs' or 'instances' key")
    if instances is None:
        _fill_columns(inputs[1], infos, request.inputs)  # type: ignore[index]
        return False
    if inputs is not None:
        raise misformatted(document, "Not formatted correctly expecting only one of 'inputs' or "
                           "'instances' keys to exist ")
    if not is_list(instances[1]):
        raise misformatted(document, "Expecting 'instances' to be an list/array")
    if not instances[1]:
        raise misformatted(document, "No values in 'instances' array")
    _fill_rows(instances[1], infos, request.inputs)
    return True


def _is_named(element: Any) -> bool:
    return isinstance(element, JsonObject) and not is_base64(element)


def _fill_columns(value: Any, infos: Mapping[str, Any], inputs: Any) -> None:
    if _is_named(value):
        for name, info in infos.items():
            member = value.find(name)
            if member is None:
                raise InvalidArgument(f"Missing named input: {name} in 'inputs' object.")
            _fill_tensor(inputs[name], info.dtype, member[1])
        return
    if len(infos) > 1:
        raise InvalidArgument(
            "inputs is a plain value/list, but expecting an object as multiple input tensors "
            "required as per tensorinfo_map")
    (name, info), = infos.items()
    _fill_tensor(inputs[name], info.dtype, value)


def _fill_tensor(tensor: Any, dtype: int, value: Any) -> None:
    shape = _dense_shape(value)
    values: list[Any] = []
    _gather(value, 0, shape, dtype, values)
    _set_tensor(tensor, dtype, shape, values)


def _set_tensor(tensor: Any, dtype: int, shape: list[int], values: list[Any]) -> None:
    tensor.dtype = dtype
    tensor.tensor_shape.SetInParent()  # a scalar's shape is there, and empty
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    if values:
        getattr(tensor, _tensor.VALUE_FIELDS[dtype]).extend(values)


def _fill_rows(elements: list, infos: Mapping[str, Any], inputs: Any) -> None:
    """Stacks the elements, which must agree in shape, along a new first dimension."""
    if not isinstance(elements[0], JsonObject) and len(infos) > 1:
        raise InvalidArgument(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map")
    named = _is_named(elements[0])
    values: dict[str, list[Any]] = {}
    shapes: dict[str, list[int]] = {}
    for index, element in enumerate(elements):
        if named != _is_named(element):
            wanted, found = ("object", "list") if named else ("value/list", "object")
            raise InvalidArgument(
                f"Expecting {wanted} but got {found} at item {index} of input list")
        members = element if named else [(next(iter(infos)), element)]
        for name, value in members:
            name = name.partition("\0")[0]  # as a C string
            try:
                _add_instance(name, value, infos, shapes, values)
            except ServingError as error:
                key = f" key: {name}" if named else ""
                raise InvalidArgument(f"Failed to process element: {index}{key} of 'instances' "
                                      f"list. Error: {error.code}: {error}") from None
        if named and {name.partition("\0")[0] for name, _ in members} != set(infos):
            raise InvalidArgument(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{debug_text(element)} keys must be equal to: {','.join(sorted(infos))}")
    for name, shape in shapes.items():
        _set_tensor(inputs[name], infos[name].dtype, [len(elements), *shape], values[name])


def _add_instance(
    name: str, value: Any, infos: Mapping[str, Any], shapes: dict[str, list[int]],
    values: dict[str, list[Any]],
) -> None:
    if name not in infos:
        raise InvalidArgument(f"JSON object: does not have named input: {name}")
    shape = _dense_shape(value)
    gathered: list[Any] = []
    _gather(value, 0, shape, infos[name].dtype, gathered)
    expected = shapes.setdefault(name, shape)
    if math.prod(expected) != math.prod(shape):
        raise InvalidArgument(
            f"Expecting tensor size: {math.prod(expected)} but got: {math.prod(shape)}")
    if expected != shape:
        raise InvalidArgument(
            f"Expecting shape [{','.join(map(str, expected))}] but got: "
            f"[{','.join(map(str, shape))}]")
    values.setdefault(name, []).extend(gathered)


def _dense_shape(value: Any) -> list[int]:
    """The lengths along the first elements; whether the others agree is checked later."""
    shape = []
    while is_list(value):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _gather(root: Any, level: int, shape: list[int], dtype: int, values: list[Any]) -> None:
    """Appends the leaves in order; walks with a stack, for lists nested to any depth."""
    pending = [(root, level)]
    while pending:
        value, level = pending.pop()
        if not is_list(value):
            if level != len(shape):
                raise InvalidArgument(
                    f"JSON Value: {debug_text(value)} found at incorrect level: {level + 1} in the "
                    f"JSON DOM. Expected at level: {len(shape)}")
            values.append(_leaf(value, dtype))
            continue
        if level >= len(shape):
            raise InvalidArgument(
                f"Encountered list at unexpected level: {level} expected < {len(shape)}")
        if len(value) != shape[level]:
            raise InvalidArgument(
                f"Encountered list at unexpected size: {len(value)} at level: {level} "
                f"expected size: {shape[level]}")
        if level == len(shape) - 1 and not any(isinstance(item, list) for item in value):
            values.extend([_leaf(item, dtype) for item in value])
        else:
            pending.extend((item, level + 1) for item in reversed(value))


def _leaf(value: Any, dtype: int) -> Any:
    kind = type(value)
    if dtype in (_FLOAT, _DOUBLE) and (kind is float or kind is int):
        if dtype == _FLOAT and math.isfinite(value) and abs(value) > _MAX_FLOAT:
            raise InvalidArgument(f"Cannot convert JSON value: {debug_text(value)} to float "
                                  "without loss of precision.")
        return value
    if dtype == _tensor.STRING and isinstance(value, JsonObject):
        return _decode_base64(value)
    if dtype == _tensor.STRING and kind is str:
        return value.encode("utf-8", "surrogateescape")
    if dtype == _BOOL and kind is bool:
        return value
    if dtype in _RANGE_OF and kind is int:
        low, high = _INTEGER_RANGES[_RANGE_OF[dtype]]
        if low <= value <= high:
            return value
    name = _tensor.NAMES.get(dtype, str(dtype))
    supported = dtype in _RANGE_OF or dtype in (_FLOAT, _DOUBLE, _BOOL, _tensor.STRING)
    if not supported and not isinstance(value, JsonObject):
        raise Unimplemented(f"Conversion of JSON Value: {debug_text(value)} to type: {name}")
    raise InvalidArgument(f"JSON Value: {debug_text(value)} Type: {type_name(value)} "
                          f"is not of expected type: {name}")


def _decode_base64(value: JsonObject) -> bytes:
    if not is_base64(value):
        raise InvalidArgument(
            f"JSON Value: {debug_text(value)} not formatted correctly for base64 data")
    return decode_base64(value[0][1])
