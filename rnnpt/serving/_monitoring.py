"""Metrics for Prometheus on REST's port: whether and where, and the answer.

The file is TensorFlow Serving's MonitoringConfig. The API's package on PyPI leaves that message
out, so it is declared here, in a pool of its own lest it meet the official one some day.
"""

from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from rnnpt.serving._metrics import Metrics
from rnnpt.serving.error import InvalidArgument, NotFound

_DEFAULT_PATH = "/monitoring/prometheus/metrics"
_FIELD = descriptor_pb2.FieldDescriptorProto
_FILE = descriptor_pb2.FileDescriptorProto(
    name="tensorflow_serving/config/monitoring_config.proto", package="tensorflow.serving",
    syntax="proto3", message_type=[
        descriptor_pb2.DescriptorProto(name="PrometheusConfig", field=[
            _FIELD(name="enable", number=1, type=_FIELD.TYPE_BOOL, label=_FIELD.LABEL_OPTIONAL),
            _FIELD(name="path", number=2, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL),
        ]),
        descriptor_pb2.DescriptorProto(name="MonitoringConfig", field=[
            _FIELD(name="prometheus_config", number=1, type=_FIELD.TYPE_MESSAGE,
                   label=_FIELD.LABEL_OPTIONAL, type_name=".tensorflow.serving.PrometheusConfig"),
        ]),
    ])


def _message_class() -> type:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_FILE)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("tensorflow.serving.MonitoringConfig"))


MonitoringConfig = _message_class()


def metrics_path(monitoring_config_file: str | None) -> str | None:
    """Reads where the metrics are.

    Args:
        monitoring_config_file: Text file of a MonitoringConfig, or None.

    Returns:
        The URL's path, None if metrics are off.

    Raises:
        NotFound: If there is no such file.
        InvalidArgument: If it is no MonitoringConfig.
    """
    if not monitoring_config_file:
        return None
    try:
        text = Path(monitoring_config_file).read_text(encoding="utf-8")
    except OSError as error:
        raise NotFound(f"monitoring_config_file must be a file that can be read, got "
                       f"{monitoring_config_file!r} ({error.strerror}); pass another") from None
    except UnicodeDecodeError:
        raise _invalid(monitoring_config_file) from None
    config = MonitoringConfig()
    try:
        text_format.Parse(text, config)
    except text_format.ParseError:
        raise _invalid(monitoring_config_file) from None
    prometheus = config.prometheus_config
    return (prometheus.path or _DEFAULT_PATH) if prometheus.enable else None


def _invalid(file: str) -> InvalidArgument:
    return InvalidArgument(f"Invalid protobuf file: '{file}'")


def answer_metrics(metrics: Metrics, wanted: str, path: str) -> tuple[int, str]:
    """Answers a request for the metrics.

    Args:
        metrics: The metrics.
        wanted: Their path.
        path: The request's path with its query, which there must not be.

    Returns:
        HTTP's status, and a plain text.
    """
    if path != wanted:
        return 400, f"Unexpected path: {path}. Should be {wanted}"
    return 200, metrics.page()
