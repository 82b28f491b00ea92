"""What a client counts, for Prometheus; nothing is registered until somebody makes one of these."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

from sortline.client.prediction import Prediction

_LATENCY_BUCKETS_S: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_CONFIDENCE_BUCKETS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
_INVALID: Final = "invalid"


class ClientMetrics:
    """Counters and histograms of one process; several clients may share them.

    - `sortline_client_requests_total{model,code}`: calls of Predict by how they ended, a call that
      was tried again counted once.
    - `sortline_client_retries_total{model}`: attempts that found the server UNAVAILABLE and were
      repeated.
    - `sortline_client_latency_seconds{model}`: of a call, its retries included.
    - `sortline_client_predictions_total{model,version,label}`: answered images by label; `invalid`
      for those that the server could not read.
    - `sortline_client_confidence{model,version}`: probability of the predicted label.
    - `sortline_client_refused_images_total{reason}`: images that were not sent.

    Args:
        registry: where they are registered; the process's own if absent. A second set of metrics
            in one registry is an error of prometheus_client's (ValueError).
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def counter(name: str, documentation: str, labels: Iterable[str]) -> Counter:
            return Counter(f"sortline_client_{name}", documentation, labels, registry=registry)

        self._requests = counter("requests", "Calls of Predict.", ("model", "code"))
        self._retries = counter("retries", "Attempts that were repeated.", ("model",))
        self._refused = counter("refused_images", "Images that were not sent.", ("reason",))
        self._predictions = counter(
            "predictions", "Images by predicted label.", ("model", "version", "label")
        )
        self._latency = Histogram(
            "sortline_client_latency_seconds",
            "Time of a call, retries included.",
            ("model",),
            buckets=_LATENCY_BUCKETS_S,
            registry=registry,
        )
        self._confidence = Histogram(
            "sortline_client_confidence",
            "Probability of the predicted label.",
            ("model", "version"),
            buckets=_CONFIDENCE_BUCKETS,
            registry=registry,
        )

    def called(self, model: str, code: str, latency_s: float) -> None:
        """A call of Predict came to its end, with gRPC's code of that name."""
        self._requests.labels(model, code).inc()
        self._latency.labels(model).observe(latency_s)

    def retried(self, model: str) -> None:
        """A call will be tried again."""
        self._retries.labels(model).inc()

    def refused(self, reason: str) -> None:
        """An image was not sent."""
        self._refused.labels(reason).inc()

    def answered(self, model: str, predictions: Iterable[Prediction]) -> None:
        """Images were answered."""
        for prediction in predictions:
            version = str(prediction.version)
            label = prediction.label if prediction.valid else _INVALID
            self._predictions.labels(model, version, label).inc()
            if prediction.valid:
                self._confidence.labels(model, version).observe(prediction.probability)
