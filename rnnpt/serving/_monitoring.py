"""Metrics for Prometheus on REST's port: whether and where, and the answer.

The file is TensorFlow Serving's MonitoringConfig.
"""

from typing import Any

from rnnpt.serving._metrics import Metrics
from rnnpt.serving._text_message import message_class, read_text_message

_DEFAULT_PATH = "/monitoring/prometheus/metrics"
MonitoringConfig: Any = message_class(
    "MonitoringConfig", MonitoringConfig={"prometheus_config": "PrometheusConfig"},
    PrometheusConfig={"enable": "bool", "path": "string"})


def metrics_path(monitoring_config_file: str | None) -> str | None:
    """Reads where the metrics are.

    Args:
        monitoring_config_file: Text file of a MonitoringConfig, or None.

    Returns:
        The URL's path, None if metrics are off.
    """
    if not monitoring_config_file:
        return None
    config = read_text_message(monitoring_config_file, MonitoringConfig())
    prometheus = config.prometheus_config
    return (prometheus.path or _DEFAULT_PATH) if prometheus.enable else None


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
