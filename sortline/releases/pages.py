"""What a replica counts itself, on its Prometheus page: all traffic, without a version's name."""

import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from sortline.core.errors import ParamsError, ServingError

_COUNT: Final = ":tensorflow:serving:request_count"
_LATENCY: Final = ":tensorflow:serving:request_latency"
# Those that are the server's fault; a client's mistakes say nothing of a version.
_FAULTS: Final = ("UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
_FEWEST: Final = 20  # Requests on either side of a comparison, below which it says nothing.


@dataclass(frozen=True)
class Counts:
    """Of one model: requests, those that failed through the server, and time spent, in us."""

    requests: float
    failed: float
    answered: float
    spent_us: float

    def since(self, before: "Counts") -> "Counts":
        """What was added."""
        return Counts(
            self.requests - before.requests,
            self.failed - before.failed,
            self.answered - before.answered,
            self.spent_us - before.spent_us,
        )


def parse_counts(page: str, model: str) -> Counts:
    """The counts of a model on a page.

    Raises:
        ValueError: it is no page of Prometheus.
    """
    requests = failed = answered = spent = 0.0
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.labels.get("model_name") != model:
                continue
            # The parser gives counters the suffix that they ought to have.
            if sample.name.removesuffix("_total") == _COUNT:
                requests += sample.value
                failed += sample.value if sample.labels.get("status") in _FAULTS else 0.0
            elif sample.name == f"{_LATENCY}_count":
                answered += sample.value
            elif sample.name == f"{_LATENCY}_sum":
                spent += sample.value
    return Counts(requests, failed, answered, spent)


def read_counts(url: str, model: str, timeout_s: float) -> Counts:
    """The counts of a model on the page at a URL.

    Raises:
        ParamsError: it is no address of HTTP.
        ServingError: there is no such page.
    """
    if not url.startswith(("http://", "https://")):
        raise ParamsError(f"{url!r} is no page; give http://HOST:PORT/PATH.")
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as reply:
            return parse_counts(reply.read().decode("utf-8"), model)
    except (OSError, ValueError) as error:
        raise ServingError(
            "UNAVAILABLE",
            url,
            f"{url}: {error}. Start the server with --monitoring_config_file, or leave --metrics"
            " out.",
        ) from error


def compare_counts(
    before: Counts, after: Counts, max_error_increase: float, max_latency_ratio: float
) -> str:
    """What got worse since `before`; empty when nothing did, or too little is known.

    Args:
        before: since the server started.
        after: later, of the same server.
        max_error_increase: of the share of failed requests.
        max_latency_ratio: of the mean.
    """
    soaked = after.since(before)
    if soaked.requests < 0:
        return "the server was started anew"
    if min(before.requests, soaked.requests) < _FEWEST:
        return ""
    was, now = before.failed / before.requests, soaked.failed / soaked.requests
    if now > was + max_error_increase:
        return f"{now:.2%} of all its requests failed, {was:.2%} before"
    if min(before.answered, soaked.answered) < _FEWEST:
        return ""
    ratio = (soaked.spent_us / soaked.answered) / (before.spent_us / before.answered)
    if ratio > max_latency_ratio:
        return f"all its requests took {ratio:.2f} times as long as before, on average"
    return ""
