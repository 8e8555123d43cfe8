"""One version of a model in memory, run the way TensorFlow Serving runs it.

The loader is TensorFlow's first one, which makes a graph and a Session: that is TensorFlow
Serving's own path, gives the runtime's own error texts, and releases Python's interpreter lock
while it runs.
"""

import functools
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.util import deprecation

from rnnpt.serving._option import ServerOptions
from rnnpt.serving.error import (
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ServingError,
    error_class,
)

DEFAULT_SIGNATURE = "serving_default"
# What `rnnpt export` writes beside a model.
METADATA_FILE = Path("assets.extra") / "rnnpt.json"

Feeds = Sequence[tuple[str, np.ndarray]]
Run = Callable[[Feeds, Sequence[str], float | None], list[np.ndarray]]


class Runner(Protocol):
    """What runs a model's requests, together with others for example."""

    def run(
        self, feeds: Feeds, fetches: Sequence[str], timeout_s: float | None
    ) -> list[np.ndarray]:
        """Runs a request and waits for its answer."""

    def submit(
        self, feeds: Feeds, fetches: Sequence[str], timeout_s: float | None
    ) -> Future:
        """Begins a request, whose answer comes later."""


class Servable:
    """A loaded SavedModel.

    Who uses it holds it; after `retire` it is closed when nobody does.

    Args:
        path: The version folder, with `saved_model.pb`.
        version: Its number.
        options: How many threads TensorFlow gets.
        batch: Path and how one request is run -> what runs requests in batches; None if it runs
            each alone.

    Raises:
        ServingError: If the folder holds no SavedModel for serving, or a broken one.
    """

    def __init__(
        self, path: Path, version: int, options: ServerOptions = ServerOptions(),
        batch: Callable[[Path, Run], Runner | None] = lambda *_: None,
    ):
        self.path = path
        self.version = version
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph, config=_session_config(options, path))
        self._lock = threading.Lock()
        self._num_users = 0
        self._is_retired = False
        self._after_close: Callable[[], None] = lambda: None
        try:
            meta_graph = _load(self._session, graph, path)
            self._runner = batch(path, self._run_alone)
        except BaseException:
            self._session.close()
            raise
        # By name; TensorFlow's own initialisation is among them.
        self.signatures = dict(meta_graph.signature_def)
        self._signature_names = [
            tuple({info.name for info in infos.values() if info.name}
                  for infos in (signature.inputs, signature.outputs))
            for signature in self.signatures.values()]
        self._output = functools.cache(self._find_output)

    def run(
        self, feeds: Feeds, fetches: Sequence[str], timeout_s: float | None = None
    ) -> list[np.ndarray]:
        """Runs a part of the graph; any thread may call it.

        Args:
            feeds: Names of tensors with their values.
            fetches: Names of the tensors to compute.
            timeout_s: How long it may take; None for ever. What has begun of a graph that
                `rnnpt export` wrote goes on to its end.

        Returns:
            Their values.

        Raises:
            ServingError: If TensorFlow refuses, with its code and text; DeadlineExceeded if the
                time is over.
        """
        if self._runner is not None:
            return self._runner.run(feeds, fetches, timeout_s)
        return self._run_alone(feeds, fetches, timeout_s)

    @property
    def is_batched(self) -> bool:
        """Whether requests are run together, and so wait for each other."""
        return self._runner is not None

    def submit(
        self, feeds: Feeds, fetches: Sequence[str], timeout_s: float | None = None
    ) -> Future:
        """Begins a run together with others, which needs no thread of its own to wait.

        Args:
            feeds: Names of tensors with their values.
            fetches: Names of the tensors to compute.
            timeout_s: How long it may take; None for ever. What has begun of a graph that
                `rnnpt export` wrote goes on to its end.

        Returns:
            Their values to come, or the `ServingError` that `run` would raise; until then the model
            is held.

        Raises:
            FailedPrecondition: If each request runs alone.
        """
        if self._runner is None:
            raise FailedPrecondition("requests must be batched to wait for each other, got a model "
                                     "that runs each alone; call run")
        answer = self._runner.submit(feeds, fetches, timeout_s)
        # Not `hold`: the caller does, so the model is open even if it is retired by now.
        with self._lock:
            self._num_users += 1
        answer.add_done_callback(lambda _: self.release())
        return answer

    def _run_alone(
        self, feeds: Feeds, fetches: Sequence[str], timeout_s: float | None
    ) -> list[np.ndarray]:
        if timeout_s is not None and timeout_s <= 0:
            raise DeadlineExceeded("Timed out waiting for notification")
        options = None if timeout_s is None else pywrap_tf_session.TF_NewBufferFromString(
            config_pb2.RunOptions(timeout_in_ms=math.ceil(timeout_s * 1000)).SerializeToString())
        names = self._computed(tuple(name for name, _ in feeds), tuple(fetches))
        try:
            # The way of `Session.run` without what it does in Python, which is as much again.
            values = self._session._call_tf_sessionrun(
                options, {self._output(name): value for name, value in feeds},
                [self._output(name) for name in names], [], None)
        except tf.errors.OpError as error:
            raise _serving_error(error) from None
        finally:
            if options is not None:
                pywrap_tf_session.TF_DeleteBuffer(options)
        by_name = dict(zip(names, values, strict=True))
        return [by_name[name] for name in fetches]

    def _computed(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> Sequence[str]:
        """The outputs to compute: all of the signature's, whichever are wanted.

        A Session prepares the graph for each set of outputs, which takes seconds and stays in
        memory, and a signature's outputs are computed in one call of a function anyway.
        """
        for inputs, outputs in self._signature_names:
            if inputs == set(feeds) and outputs.issuperset(fetches):
                return sorted(outputs)
        return fetches

    def _find_output(self, name: str) -> Any:
        """The C name of a tensor; an output of several, such as a ragged one, has none."""
        name = name if ":" in name else f"{name}:0"
        try:
            return self._session.graph.get_tensor_by_name(name)._as_tf_output()
        except (ValueError, KeyError):
            raise InvalidArgument(f"Tensor {name}, specified in either feed_devices or "
                                  "fetch_devices was not found in the Graph") from None

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
        self._session.close()
        self._after_close()


def _session_config(options: ServerOptions, path: Path) -> config_pb2.ConfigProto:
    intra, inter = options.tensorflow_intra_op_parallelism, options.tensorflow_inter_op_parallelism
    if not (intra or inter):
        intra = inter = options.tensorflow_session_parallelism
    config = config_pb2.ConfigProto(
        intra_op_parallelism_threads=intra, inter_op_parallelism_threads=inter)
    if (path / METADATA_FILE).is_file():
        # Of a model that goes step by step hardly two operations could run at once: one after the
        # other, `generate` and `draw` take less time, `score` a little more. A graph with
        # TensorFlow's first kind of loops, which exports do not have, could not run so. It must be
        # in the caller's own thread: in the pool, runs that hold all its threads wait for their
        # loops' bodies, which wait for a thread. So a run does not end when its time is over,
        # though nobody waits for it any more; the steps that an export allows limit it.
        config.experimental.executor_type = "SINGLE_THREADED_EXECUTOR"
        config.inter_op_parallelism_threads = -1
    return config


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
