"""A Predict call on its way through a model: from its message to a run, and to its answer."""

import time
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
from tensorflow_serving.apis import predict_pb2

from rnnpt.serving import _tensor
from rnnpt.serving._servable import DEFAULT_SIGNATURE, Servable
from rnnpt.serving._signature import find_signature
from rnnpt.serving.error import Unimplemented


class PredictCall:
    """A Predict call that fits its model; the caller holds the model.

    Args:
        servable: The model.
        request: The message; its model's name is not looked at.
        ends_at: When its time is over, on the monotonic clock; None for never.

    Raises:
        ServingError: If it does not fit.
    """

    def __init__(
        self, servable: Servable, request: predict_pb2.PredictRequest, ends_at: float | None
    ):
        self._servable = servable
        self._signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = find_signature(servable, self._signature_name)
        self._feeds = signature.feeds(request.inputs)
        self._fetches = signature.fetches(request.output_filter)
        self._ends_at = ends_at

    def run(self) -> list[np.ndarray]:
        """Runs the model.

        Returns:
            The outputs that the call wants.
        """
        return self._servable.run(self._feeds, list(self._fetches.values()), self._timeout_s())

    def submit(self) -> Future:
        """Begins a run together with others, of a model that is batched.

        Returns:
            The outputs to come.
        """
        return self._servable.submit(
            self._feeds, list(self._fetches.values()), self._timeout_s())

    def _timeout_s(self) -> float | None:
        return None if self._ends_at is None else self._ends_at - time.monotonic()

    def response(
        self, values: Sequence[np.ndarray], as_content: bool
    ) -> predict_pb2.PredictResponse:
        """Makes the answer.

        Args:
            values: The outputs.
            as_content: Whether they are bytes in place of typed values.

        Returns:
            The outputs, with version and signature.

        Raises:
            Unimplemented: If an output has a type that does not travel.
        """
        response = predict_pb2.PredictResponse()
        response.model_spec.signature_name = self._signature_name
        response.model_spec.version.value = self._servable.version
        for alias, value in zip(self._fetches, values, strict=True):
            try:
                _tensor.fill_proto(response.outputs[alias], np.asarray(value), as_content)
            except ValueError as error:
                raise Unimplemented(f"output {alias}: {error}") from None
        return response
