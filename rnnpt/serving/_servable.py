"""One version of a model in memory, run the way TensorFlow Serving runs it.

The loader is TensorFlow's first one, which makes a graph and a Session: that is TensorFlow
Serving's own path, gives the runtime's own error texts, and releases Python's interpreter lock
while it runs.
"""

import collections
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow.python.util import deprecation

from rnnpt.serving.error import (
    DataLoss,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    ServingError,
    error_class,
)

DEFAULT_SIGNATURE = "serving_default"
# Each set of outputs that clients filter has a callable; more than this many would be a leak.
_MAX_CALLABLES = 64


class Servable:
    """A loaded SavedModel.

    Who uses it holds it; after `retire` it is closed when nobody does.

    Args:
        path: The version folder, with `saved_model.pb`.
        version: Its number.

    Raises:
        ServingError: If the folder holds no SavedModel for serving, or a broken one.
    """

    def __init__(self, path: Path, version: int):
        self.path = path
        self.version = version
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph)
        self._callables: collections.OrderedDict[tuple, Any] = collections.OrderedDict()
        self._lock = threading.Lock()
        self._num_users = 0
        self._is_retired = False
        self._after_close: Callable[[], None] = lambda: None
        try:
            meta_graph = _load(self._session, graph, path)
        except BaseException:
            self._session.close()
            raise
        # By name; TensorFlow's own initialisation is among them.
        self.signatures = dict(meta_graph.signature_def)

    def run(
        self, feeds: Sequence[tuple[str, np.ndarray]], fetches: Sequence[str],
        timeout_s: float | None = None,
    ) -> list[np.ndarray]:
        """Runs a part of the graph; any thread may call it.

        Args:
            feeds: Names of tensors with their values.
            fetches: Names of the tensors to compute.
            timeout_s: Seconds that it may take; None for any number.

        Returns:
            Their values.

        Raises:
            ServingError: If TensorFlow refuses, with its code and text, or no time is left.
        """
        if timeout_s is not None and timeout_s <= 0:
            raise DeadlineExceeded("Deadline exceeded before the model ran")
        try:
            function = self._callable(tuple(name for name, _ in feeds), tuple(fetches))
            return function(*(value for _, value in feeds))
        except tf.errors.OpError as error:
            raise _serving_error(error) from None

    def _callable(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> Any:
        """A Session's callable is several times faster than `run`, and checks no shapes itself."""
        key = (feeds, fetches)
        with self._lock:
            if key in self._callables:
                self._callables.move_to_end(key)
            else:
                options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
                self._callables[key] = self._session._make_callable_from_options(options)
                if len(self._callables) > _MAX_CALLABLES:
                    self._callables.popitem(last=False)
            return self._callables[key]

    def hold(self) -> bool:
        """Keeps the model open until `release`.

        Returns:
            Whether it does; False if the model is retired.
        """
        with self._lock:
            if self._is_retired:
                return False
            self._num_users += 1
            return True

    def release(self) -> None:
        """Ends one `hold`."""
        with self._lock:
            self._num_users -= 1
            closing = self._is_retired and not self._num_users
        if closing:
            self._close()

    def retire(self, then: Callable[[], None] = lambda: None) -> None:
        """Closes the model as soon as nobody uses it.

        Args:
            then: What to call when it is closed.
        """
        with self._lock:
            closing = not self._is_retired and not self._num_users
            if not self._is_retired:
                self._is_retired, self._after_close = True, then
        if closing:
            self._close()

    def _close(self) -> None:
        self._callables.clear()
        self._session.close()
        self._after_close()


def _load(
    session: tf.compat.v1.Session, graph: tf.Graph, path: Path
) -> meta_graph_pb2.MetaGraphDef:
    try:
        with graph.as_default(), deprecation.silence():
            return tf.compat.v1.saved_model.loader.load(session, ["serve"], str(path))
    except tf.errors.OpError as error:
        raise _serving_error(error) from None
    except DecodeError as error:
        raise DataLoss(f"saved_model.pb in {path} is broken: {error}") from None
    except OSError as error:
        raise NotFound(f"no SavedModel in {path}: {_one_line(error)}") from None
    except (ValueError, RuntimeError, KeyError) as error:
        raise InvalidArgument(f"SavedModel in {path} does not load: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _serving_error(error: tf.errors.OpError) -> ServingError:
    # The names of TensorFlow's numeric codes stand in its errors module.
    names = {getattr(tf.errors, name): name for name in dir(tf.errors) if name.isupper()}
    return error_class(names.get(error.error_code, "UNKNOWN"))(error.message)
