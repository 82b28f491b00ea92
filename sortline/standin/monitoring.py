"""Prometheus metrics, under TensorFlow Serving's own names where it has them.

Counters are exposed without the suffix that the Python client would add: the same dashboard reads
the real server. `sortline_...` is ours.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class _Counter(Gauge):
    _type = "unknown"  # The client would call a counter NAME_total, and a gauge is none.


class Monitoring:
    """What is counted; all methods but `page` are called on the event loop."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = _Counter(
            ":tensorflow:serving:request_count",
            "Requests.",
            ("model_name", "status"),
            registry=self._registry,
        )
        self._loads = _Counter(
            ":tensorflow:cc:saved_model:load_attempt_count",
            "Versions that were loaded, or could not be.",
            ("model_path", "status"),
            registry=self._registry,
        )
        self._classes = _Counter(
            "sortline_predicted_class_count",
            "Answers by predicted class; class_name is empty for what is no image.",
            ("model_name", "version", "class_name"),
            registry=self._registry,
        )
        self._latency = Histogram(
            ":tensorflow:serving:request_latency",
            "Wall time of requests, microseconds.",
            ("model_name", "API", "entrypoint"),
            buckets=[10 * 1.8**power for power in range(33)],
            registry=self._registry,
        )
        self._confidence = Histogram(
            "sortline_prediction_confidence",
            "Probability of the predicted class.",
            ("model_name", "version"),
            buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0),
            registry=self._registry,
        )

    def called(self, model: str | None, api: str, protocol: str, code: str, seconds: float) -> None:
        """A request has ended, so many seconds after it came; model: None when it is unknown."""
        name = model or ""  # Some client's typing errors are not to become so many time series.
        self._requests.labels(name, code).inc()
        if code == "OK":
            self._latency.labels(name, api, protocol).observe(seconds * 1e6)

    def loaded(self, path: Path, *, well: bool) -> None:
        """A version was loaded, or could not be."""
        self._loads.labels(str(path), "success" if well else "fail").inc()

    def predicted(
        self, model: str, version: int, labels: Sequence[bytes], confidences: Sequence[float]
    ) -> None:
        """A model of ours has answered.

        Args:
            model: its name.
            version: its number.
            labels: one an item, empty for what is no image.
            confidences: the largest probability of each item.
        """
        histogram = self._confidence.labels(model, version)
        for label, confidence in zip(labels, confidences, strict=True):
            self._classes.labels(model, version, label.decode(errors="replace")).inc()
            if label:
                histogram.observe(confidence)

    def page(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return generate_latest(self._registry)
