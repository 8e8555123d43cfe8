"""Counts and times of a server, under TensorFlow Serving's names, as text for Prometheus.

Prometheus' own library for Python ends counters in "_total" and writes help texts, as TensorFlow
Serving does not, and this page is all that would be needed of it.
"""

import asyncio
import bisect
import itertools
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from rnnpt.serving.error import ServingError

# Names of models come from whoever asks. Those that have never run here share this many sets of
# labels a metric; past it they are counted under one name.
MAX_UNKNOWN_LABEL_SETS = 500
OTHER = "(other)"
# Characters of such a name; a longer one is counted under that name at once.
LONGEST_UNKNOWN_NAME = 256
_PREFIX = ":tensorflow:serving:"
_MICROSECONDS = 1e6


def _limits(first: float, factor: float, count: int) -> list[float]:
    return list(itertools.accumulate(itertools.repeat(factor, count - 1), float.__mul__,
                                     initial=first))


# Microseconds, to 20 minutes. Source: servables/tensorflow/util.cc and saved_model_warmup_util.cc.
_LATENCY_LIMITS = _limits(10.0, 1.8, 33)
# To a second. Source: batching/batching_session.cc.
_QUEUING_LIMITS = _limits(100.0, 1.2, 52)


class _Counter:
    """How many, a set of labels each."""

    kind = "counter"

    def __init__(self, *label_names: str):
        self._label_names = label_names
        self.cells: dict[tuple[str, ...], int] = {}

    def add(self, labels: tuple[str, ...], value: float) -> None:
        self.cells[labels] = self.cells.get(labels, 0) + int(value)

    def lines(self, name: str) -> Iterator[str]:
        for labels, count in sorted(self.cells.items()):
            yield f"{name}{{{_label_text(self._label_names, labels)}}} {count}"


class _Histogram:
    """How often which values, a set of labels each."""

    kind = "histogram"

    def __init__(self, limits: list[float], *label_names: str):
        self._limits = limits
        self._label_names = label_names
        # Counts a bucket, the last without a limit; and the sum of the values.
        self.cells: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}

    def add(self, labels: tuple[str, ...], value: float) -> None:
        counts, total = self.cells.setdefault(labels, ([0] * (len(self._limits) + 1), [0.0]))
        counts[bisect.bisect_right(self._limits, value)] += 1
        total[0] += value

    def lines(self, name: str) -> Iterator[str]:
        ends = [f"{limit:.6g}" for limit in self._limits] + ["+Inf"]
        for labels, (counts, total) in sorted(self.cells.items()):
            text = _label_text(self._label_names, labels)
            for end, count in zip(ends, itertools.accumulate(counts), strict=True):
                yield f'{name}_bucket{{{text},le="{end}"}} {count}'
            yield f"{name}_sum{{{text}}} {total[0]:.6g}"
            yield f"{name}_count{{{text}}} {sum(counts)}"


def _label_text(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    # TensorFlow Serving leaves line ends as they are, and so lets a URL write lines of its own.
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
               for value in values)
    return ",".join(f'{name}="{value}"' for name, value in zip(names, escaped, strict=True))


class Metrics:
    """What a server counts; any thread may add to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._num_unknown: dict[str, int] = {}
        self._metrics: dict[str, _Counter | _Histogram] = {
            "batching_session:queuing_latency": _Histogram(_QUEUING_LIMITS, "thread_pool_name"),
            "model_warmup_latency": _Histogram(_LATENCY_LIMITS, "model_path", "status"),
            "request_count": _Counter("model_name", "status"),
            "request_latency": _Histogram(_LATENCY_LIMITS, "model_name", "API", "entrypoint"),
            "runtime_latency": _Histogram(_LATENCY_LIMITS, "model_name", "API", "runtime"),
        }

    def request(self, model_name: str, api: str, entrypoint: str) -> "_RequestTimer":
        """Counts and times a request, for the length of a `with` statement.

        Args:
            model_name: The model that it names.
            api: What it asks for: "Predict" over gRPC, "predict" over REST.
            entrypoint: "GRPC" or "REST".

        Returns:
            What the statement enters; a `ServingError` that ends it gives the status.
        """
        return _RequestTimer(self, model_name, api, entrypoint)

    def add_request(
        self, model_name: str, api: str, entrypoint: str, code: str, seconds: float
    ) -> None:
        """Counts a request that has ended; times it if it went well.

        Args:
            model_name: The model that it names.
            api: What it asks for.
            entrypoint: "GRPC" or "REST".
            code: The status code's name.
            seconds: How long it took.
        """
        with self._lock:
            if len(model_name) > LONGEST_UNKNOWN_NAME and model_name not in self._known:
                model_name = OTHER
            self._count("request_count", (model_name, code), 1)
            if code == "OK":
                self._count("request_latency", (model_name, api, entrypoint),
                            seconds * _MICROSECONDS)

    def add_run(self, model_name: str, seconds: float) -> None:
        """Times a run of a model.

        Args:
            model_name: The model, which is there, so its name counts as known from now on.
            seconds: How long it took.
        """
        with self._lock:
            self._known.add(model_name)
            self._count("runtime_latency", (model_name, "Predict", "TF1"),
                        seconds * _MICROSECONDS)

    def add_warmup(self, model_path: str, seconds: float) -> None:
        """Times the warm-up of a version, which went well.

        Args:
            model_path: The version's folder.
            seconds: How long it took.
        """
        with self._lock:
            self._count("model_warmup_latency", (model_path, "OK"), seconds * _MICROSECONDS)

    def add_queuing(self, thread_pool_name: str, seconds: Iterable[float]) -> None:
        """Times the waits of requests for each other.

        Args:
            thread_pool_name: The batching parameters' name for the threads.
            seconds: How long each took.
        """
        with self._lock:
            for wait_s in seconds:
                self._count("batching_session:queuing_latency", (thread_pool_name,),
                            wait_s * _MICROSECONDS)

    def _count(self, name: str, labels: tuple[str, ...], value: float) -> None:
        """Adds to a metric; the caller holds the lock."""
        metric = self._metrics[name]
        if labels not in metric.cells and labels[0] not in self._known:
            count = self._num_unknown.get(name, 0)
            if count >= MAX_UNKNOWN_LABEL_SETS:
                labels = (OTHER, *labels[1:])
            else:
                self._num_unknown[name] = count + 1
        metric.add(labels, value)

    def page(self) -> str:
        """Writes everything that was counted.

        Returns:
            The text for Prometheus.
        """
        lines: list[str] = []
        with self._lock:
            for name, metric in self._metrics.items():
                lines.append(f"# TYPE {_PREFIX}{name} {metric.kind}")
                lines += metric.lines(_PREFIX + name)
        return "\n".join(lines) + "\n"


class _RequestTimer:
    """A context for one request; a generator's would take twice as long."""

    def __init__(self, metrics: Metrics, model_name: str, api: str, entrypoint: str):
        self._metrics = metrics
        self._names = model_name, api, entrypoint
        self._start = time.monotonic()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        code = "OK"
        if error is not None:
            code = (error.code if isinstance(error, ServingError) else
                    "CANCELLED" if isinstance(error, asyncio.CancelledError) else "UNKNOWN")
        self._metrics.add_request(*self._names, code, time.monotonic() - self._start)
