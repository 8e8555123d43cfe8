"""What a signature asks of a Predict call: its inputs by name and type, and which outputs it has.

The checks, their order and their words are TensorFlow Serving's.
"""

import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from rnnpt.serving import _tensor
from rnnpt.serving._servable import Servable
from rnnpt.serving.error import FailedPrecondition, InvalidArgument


class Signature:
    """The names and types of a signature, taken out of its message once.

    To read the message at each call would take longer than all the checks.

    Args:
        definition: The official `SignatureDef`.
    """

    def __init__(self, definition: meta_graph_pb2.SignatureDef):
        self._inputs = {alias: (info.name, info.dtype)
                        for alias, info in definition.inputs.items()}
        self._outputs = {alias: info.name for alias, info in definition.outputs.items()}
        self._defaults = dict(definition.defaults)

    def feeds(self, inputs: Mapping[str, Any]) -> list[tuple[str, np.ndarray]]:
        """Pairs each input's tensor name with its value; the signature's defaults stand in.

        Args:
            inputs: Input name -> `TensorProto`.

        Returns:
            The pairs, in the signature's order.

        Raises:
            InvalidArgument: If a name, a type or a message does not fit.
        """
        too_few = len(inputs) < len(self._inputs) and not self._defaults
        if too_few or len(inputs) > len(self._inputs):
            raise self._wrong_count(inputs)
        feeds = []
        for index, (alias, (name, dtype)) in enumerate(self._inputs.items()):
            proto = inputs.get(alias, self._defaults.get(alias))
            if proto is None:
                raise InvalidArgument(
                    f"Signature input alias: {alias}(feed name: {name}) not found in request and "
                    f"no default value provided. Inputs expected to be in the request "
                    f"{{{_join(inputs)}}}, or default input alias set: {_join(self._defaults)}")
            try:
                value = _tensor.from_proto(proto)
            except ValueError:
                raise InvalidArgument(f"tensor parsing error: {alias}") from None
            if proto.dtype != dtype:
                raise InvalidArgument(
                    f"Expects arg[{index}] to be {_dtype_name(dtype)} but "
                    f"{_dtype_name(proto.dtype)} is provided")
            feeds.append((name, value))
        return feeds

    def _wrong_count(self, inputs: Mapping[str, Any]) -> InvalidArgument:
        sent, wanted = set(inputs), set(self._inputs)
        return InvalidArgument(
            f"input size does not match signature: {len(sent)}!={len(wanted)} "
            f"len({{{_join(sent)}}}) != len({{{_join(wanted)}}}). "
            f"Sent extra: {{{_join(sent - wanted)}}}. "
            f"Missing but required: {{{_join(wanted - sent)}}}.")

    def fetches(self, output_filter: Sequence[str]) -> dict[str, str]:
        """Finds the outputs that a call wants.

        Args:
            output_filter: Their names; none for all.

        Returns:
            Output name -> tensor's name; not to be changed.

        Raises:
            InvalidArgument: If a name is none, or stands there twice.
        """
        if not output_filter:
            return self._outputs
        wanted: dict[str, str] = {}
        for alias in output_filter:
            if alias not in self._outputs:
                raise InvalidArgument(
                    f"output tensor alias not found in signature: {alias} Outputs expected to be "
                    f"in the set {{{_join(self._outputs)}}}.")
            if alias in wanted:
                raise InvalidArgument(f"duplicate output tensor alias: {alias}")
            wanted[alias] = self._outputs[alias]
        return wanted


def _join(names: Iterable[str]) -> str:
    return ",".join(sorted(names))


def _dtype_name(number: int) -> str:
    return _tensor.NAMES.get(number, str(number))


# A model that is dropped takes its signatures along.
_known: weakref.WeakKeyDictionary[Servable, dict[str, Signature]] = weakref.WeakKeyDictionary()


def find_signature(servable: Servable, name: str) -> Signature:
    """Finds a signature of a model.

    Args:
        servable: The model.
        name: The signature's name.

    Returns:
        The signature.

    Raises:
        FailedPrecondition: If the model has none of that name.
    """
    signatures = _known.get(servable)
    if signatures is None:
        signatures = _known[servable] = {
            name: Signature(definition) for name, definition in servable.signatures.items()}
    if name not in signatures:
        raise FailedPrecondition(f'Serving signature key "{name}" not found.')
    return signatures[name]
