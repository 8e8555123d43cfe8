"""What an operator may set, under the names and with the defaults of TensorFlow Serving's flags."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """The embedded server's settings besides its model and addresses.

    Args:
        file_system_poll_wait_seconds: Seconds between two looks for new version folders.
        max_num_load_retries: How often a version that fails to load is tried again.
        load_retry_interval_micros: Microseconds between two such tries.
        enable_model_warmup: Whether the requests stored beside a model are played when it loads.
        num_request_iterations_for_warmup: How often each of them is played.
        rest_api_timeout_in_ms: Milliseconds until a REST request is answered with 504.
        rest_api_enable_cors_support: Whether REST answers carry the headers that let a page of
            another origin read them.
        grpc_max_threads: Threads that run requests of both fronts; None for four a CPU.
        stop_grace_seconds: Seconds that requests in flight get to end when the server stops.
    """

    file_system_poll_wait_seconds: float = 1.0
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    enable_model_warmup: bool = True
    num_request_iterations_for_warmup: int = 1
    rest_api_timeout_in_ms: int = 30_000
    rest_api_enable_cors_support: bool = False
    grpc_max_threads: int | None = None
    stop_grace_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: If a count or a time is negative, or zero where that means nothing.
        """
        for name, lowest in (
            ("file_system_poll_wait_seconds", 0.01),
            ("max_num_load_retries", 0),
            ("load_retry_interval_micros", 0),
            ("num_request_iterations_for_warmup", 1),
            ("rest_api_timeout_in_ms", 1),
            ("grpc_max_threads", 1),
            ("stop_grace_seconds", 0),
        ):
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise ValueError(f"{name} must be at least {lowest}, got {value}; raise it")
