"""Playing an export in this process, through the client that also speaks to servers."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from rnnpt.export._folder import newest_version
from rnnpt.export._option import ExportError, one_line
from rnnpt.serving._transport import Metadata, Signature, Target, TensorSpec, VersionStatus
from rnnpt.serving.client import Client, InvalidArgument


def load(directory: str | os.PathLike) -> Client:
    """Loads an export, to be used like a served one; the server's process is this one.

    Args:
        directory: A version's folder, or the folder of versions, of which the newest is taken.

    Returns:
        A client whose `start`, `step`, `generate`, `score` and `continue_midi` run here.

    Raises:
        FileNotFoundError: If there is no version.
        ExportError: If it is damaged.
    """
    path = newest_version(Path(directory))
    return Client(str(path), model_name=path.parent.name, transport=_InProcess(path))


class _InProcess:
    """The way to a model that is here."""

    def __init__(self, path: Path) -> None:
        self._version = int(path.name) if path.name.isdecimal() else 1
        try:
            self._signatures = tf.saved_model.load(str(path)).signatures
        # TensorFlow raises whatever the damaged place leads to.
        except Exception as error:
            raise ExportError(
                f"directory must hold a whole SavedModel, got {str(path)!r}: {one_line(error)}; "
                "export it again") from error

    def predict(
        self, target: Target, signature_name: str, signature: Signature,
        inputs: Mapping[str, np.ndarray], timeout_s: float,
    ) -> dict[str, np.ndarray]:
        function = self._signatures[signature_name]
        try:
            outputs = function(**{name: tf.constant(value) for name, value in inputs.items()})
        except tf.errors.InvalidArgumentError as error:
            raise InvalidArgument(_reason(error)) from None
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    def metadata(self, target: Target, timeout_s: float) -> Metadata:
        signatures = {
            name: Signature(
                _tensor_specs(function.structured_input_signature[1]),
                _tensor_specs(function.structured_outputs))
            for name, function in self._signatures.items()}
        return Metadata(target.model_name, self._version, signatures)

    def status(self, target: Target, timeout_s: float) -> list[VersionStatus]:
        return [VersionStatus(self._version, "AVAILABLE")]

    def close(self) -> None:
        """Nothing is open."""


def _tensor_specs(specs: Mapping[str, tf.TensorSpec]) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(np.dtype(spec.dtype.as_numpy_dtype), tuple(spec.shape.as_list()))
        for name, spec in specs.items()}


def _reason(error: tf.errors.OpError) -> str:
    """The assertion's own line, without the places in the graph."""
    lines = error.message.splitlines()
    return next((line.strip() for line in lines if "assertion failed" in line), lines[0])
