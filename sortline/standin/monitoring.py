"""Prometheus metrics, under TensorFlow Serving's own names where it has them.

Counters are exposed without the suffix that the Python client would add: the same dashboard reads
the real server. `sortline_...` is ours.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from sortline.client.model_config import parse_text_file
from sortline.core.errors import ParamsError

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_DEFAULT_PATH: Final = "/monitoring/prometheus/metrics"
_LATENCY_BUCKETS_US: Final = tuple(10 * 1.8**power for power in range(33))
_CONFIDENCE_BUCKETS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
# Some client's typing errors are not to become so many time series.
_OTHER: Final = ""


def _config_class() -> Any:
    """tensorflow.serving.MonitoringConfig: no package on PyPI brings it."""
    kinds = descriptor_pb2.FieldDescriptorProto
    package = "tensorflow.serving"
    file = descriptor_pb2.FileDescriptorProto(
        name="monitoring_config.proto", package=package, syntax="proto3"
    )
    prometheus = file.message_type.add(name="PrometheusConfig")
    one: dict[str, Any] = {"label": kinds.LABEL_OPTIONAL}
    prometheus.field.add(name="enable", number=1, type=kinds.TYPE_BOOL, **one)
    prometheus.field.add(name="path", number=2, type=kinds.TYPE_STRING, **one)
    whole = file.message_type.add(name="MonitoringConfig")
    inner = f".{package}.PrometheusConfig"
    whole.field.add(
        name="prometheus_config", number=1, type=kinds.TYPE_MESSAGE, type_name=inner, **one
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"{package}.MonitoringConfig")
    )


def metrics_path(config: Path | None) -> str | None:
    """Where `--monitoring_config_file` wants the metrics; None: nowhere.

    Raises:
        ParamsError: the file cannot be used.
    """
    if config is None:
        return None
    found = parse_text_file(config, _config_class()(), "monitoring_config_file").prometheus_config
    path: str = found.path or _DEFAULT_PATH
    if not path.startswith("/"):
        raise ParamsError(f"--monitoring_config_file={config}: path is {path!r}; begin it with /.")
    return path if found.enable else None


class _Counter(Collector):
    def __init__(self, name: str, help_text: str, labels: tuple[str, ...]) -> None:
        self._name, self._help, self._labels = name, help_text, labels
        self._values: dict[tuple[str, ...], float] = {}

    def add(self, *labels: str, amount: float = 1.0) -> None:
        self._values[labels] = self._values.get(labels, 0.0) + amount

    def collect(self) -> Iterator[Metric]:
        # Of type "unknown": generate_latest would call a counter NAME_total.
        metric = Metric(self._name, self._help, "unknown")
        for labels, value in list(self._values.items()):
            metric.add_sample(self._name, dict(zip(self._labels, labels, strict=True)), value)
        yield metric


class Monitoring:
    """What is counted; all methods but `page` are called on the event loop."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = self._counter(
            ":tensorflow:serving:request_count", "Requests.", ("model_name", "status")
        )
        self._loads = self._counter(
            ":tensorflow:cc:saved_model:load_attempt_count",
            "Versions that were loaded, or could not be.",
            ("model_path", "status"),
        )
        self._classes = self._counter(
            "sortline_predicted_class_count",
            "Answers by predicted class; class_name is empty for what is no image.",
            ("model_name", "version", "class_name"),
        )
        self._latency = Histogram(
            ":tensorflow:serving:request_latency",
            "Wall time of requests, microseconds.",
            ("model_name", "API", "entrypoint"),
            buckets=_LATENCY_BUCKETS_US,
            registry=self._registry,
        )
        self._confidence = Histogram(
            "sortline_prediction_confidence",
            "Probability of the predicted class.",
            ("model_name", "version"),
            buckets=_CONFIDENCE_BUCKETS,
            registry=self._registry,
        )

    def _counter(self, name: str, help_text: str, labels: tuple[str, ...]) -> _Counter:
        counter = _Counter(name, help_text, labels)
        self._registry.register(counter)
        return counter

    def called(self, model: str | None, api: str, protocol: str, code: str, seconds: float) -> None:
        """A request has ended.

        Args:
            model: None when the server does not know it.
            api: Predict, Classify or Regress.
            protocol: GRPC or REST.
            code: of the status.
            seconds: from its arrival.
        """
        self._requests.add(model or _OTHER, code)
        if code == "OK":
            self._latency.labels(model or _OTHER, api, protocol).observe(seconds * 1e6)

    def loaded(self, path: Path, *, well: bool) -> None:
        """A version was loaded, or could not be."""
        self._loads.add(str(path), "success" if well else "fail")

    def predicted(
        self,
        model: str,
        version: int,
        labels: Sequence[bytes],
        confidences: Sequence[float],
    ) -> None:
        """A model of ours has answered.

        Args:
            model: its name.
            version: its number.
            labels: one an item, empty for what is no image.
            confidences: the largest probability of each item.
        """
        histogram = self._confidence.labels(model, str(version))
        for label, confidence in zip(labels, confidences, strict=True):
            self._classes.add(model, str(version), label.decode(errors="replace"))
            if label:
                histogram.observe(confidence)

    def page(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return generate_latest(self._registry)
