"""What an operator may set, under the names and with the defaults of TensorFlow Serving's flags."""

import dataclasses
from typing import Any


def _flag(default: Any, text: str, lowest: float | None = None) -> Any:
    """A setting, its words for `rnnpt serve --help`, and the smallest number that it may be."""
    return dataclasses.field(default=default, metadata={"help": text, "lowest": lowest})


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """The embedded server's settings besides its model and addresses.

    Each is a flag of `rnnpt serve`, which tells what it means beside the field here; all but those
    of MIDI over HTTP and the limits of bodies, connections and queues are TensorFlow Serving's own.
    """

    model_config_file: str | None = _flag(
        None, "text file of a ModelServerConfig: several models, version policies, labels")
    model_config_file_poll_wait_seconds: float = _flag(
        0, "seconds between two readings of that file; 0 reads it once", 0)
    allow_version_labels_for_unavailable_models: bool = _flag(
        False, "labels may name versions that are not loaded yet")
    file_system_poll_wait_seconds: float = _flag(
        1.0, "seconds between two looks for new version folders", 0.01)
    num_load_threads: int = _flag(0, "threads that load versions; 0 loads one after the other", 0)
    max_num_load_retries: int = _flag(5, "how often a version that fails to load is tried again", 0)
    load_retry_interval_micros: int = _flag(60_000_000, "microseconds between two such tries", 0)
    enable_model_warmup: bool = _flag(
        True, "play the requests stored beside a model when it loads")
    num_request_iterations_for_warmup: int = _flag(1, "how often each of them is played", 1)
    grpc_socket_path: str = _flag("", "a UNIX socket at which gRPC listens too")
    grpc_channel_arguments: str = _flag(
        "", "settings of the gRPC server, such as grpc.k=v,grpc.l=w")
    grpc_max_threads: int | None = _flag(
        None, "threads that run requests of both fronts; four a CPU by default", 1)
    enable_grpc_healthcheck_service: bool = _flag(False, "answer grpc.health.v1")
    enable_serialization_as_tensor_content: bool = _flag(
        False, "send outputs as bytes in place of typed values")
    ssl_config_file: str | None = _flag(None, "text file of an SSLConfig: TLS for gRPC")
    rest_api_timeout_in_ms: int = _flag(
        30_000, "milliseconds until a REST request is answered with 504", 1)
    rest_api_max_body_bytes: int = _flag(
        100 * 1024 * 1024, "largest body of a REST request, packed or not; more is answered with "
        "413", 1)
    rest_api_max_connections: int = _flag(
        1000, "REST connections open at once; more are closed as they come", 1)
    rest_api_client_timeout_seconds: float = _flag(
        30.0, "seconds in which a REST client must have sent its request or taken its answer, "
        "else its connection is cut", 0.01)
    rest_api_enable_cors_support: bool = _flag(
        False, "send the headers that let a page of another origin read REST answers")
    enable_batching: bool = _flag(False, "run requests that wait together")
    batching_parameters_file: str | None = _flag(None, "text file of BatchingParameters")
    enable_per_model_batching_parameters: bool = _flag(
        False, "batch those models, and as it says, that have a batching_params.pbtxt beside them")
    monitoring_config_file: str | None = _flag(
        None, "text file of a MonitoringConfig: metrics for Prometheus on REST's port")
    tensorflow_session_parallelism: int = _flag(0, "threads of TensorFlow; 0 for one a CPU", 0)
    tensorflow_intra_op_parallelism: int = _flag(0, "threads of one operation; 0 for one a CPU", 0)
    tensorflow_inter_op_parallelism: int = _flag(0, "operations at once; 0 for one a CPU", 0)
    midi_port: int | None = _flag(
        None, "port of POST /v1/continue, MIDI in and MIDI out; closed by default", 0)
    max_waiting_requests: int = _flag(
        1000, "requests that may wait for a thread or a batch; more are refused with 503", 1)
    stop_grace_seconds: float = _flag(
        5.0, "seconds that requests in flight get to end when the server stops", 0)

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: If a count or a time is too small, or settings do not go together.
        """
        for field in dataclasses.fields(self):
            value, lowest = getattr(self, field.name), field.metadata["lowest"]
            if None not in (value, lowest) and value < lowest:
                raise ValueError(f"{field.name} must be at least {lowest}, got {value}; raise it")
        if self.batching_parameters_file and not self.enable_batching:
            raise ValueError(
                "batching_parameters_file must stand beside enable_batching, got "
                f"{self.batching_parameters_file!r} alone; switch batching on or leave it out")
        threads = [f"tensorflow_{name}_parallelism" for name in ("session", "intra_op", "inter_op")]
        if all(getattr(self, name) for name in threads):
            raise ValueError(
                f"{', '.join(threads)} must not all be set, got "
                f"{', '.join(str(getattr(self, name)) for name in threads)}; set the first alone, "
                "or the other two")
