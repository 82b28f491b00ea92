"""The soak: canary beside stable, asked the same in turns, compared by errors and by latency.

Beside that, what a replica counts itself on its Prometheus page: all traffic of
a model, whichever version answered.
"""

import statistics
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from sortline.client.model_config import CANARY, STABLE
from sortline.core.errors import ParamsError, RefusedError, ServingError
from sortline.releases.replicas import Replica, asked, judge
from sortline.releases.settings import Promote

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


_EARLY: Final = 10  # Failed requests of canary after which there is nothing to wait for.


@dataclass
class Tally:
    """What came of the requests for one label.

    Attributes:
        failed: requests without an answer that makes sense.
        latencies_s: of the others.
        fault: what was wrong with the first that failed.
    """

    failed: int = 0
    latencies_s: list[float] = field(default_factory=list)
    fault: str = ""

    @property
    def asked(self) -> int:
        """All requests."""
        return self.failed + len(self.latencies_s)

    @property
    def error_rate(self) -> float:
        """Share of failed ones."""
        return self.failed / self.asked if self.asked else 0.0

    def ask(self, replica: Replica, request: Any, version: int, timeout_s: float) -> None:
        """One more request."""
        start = time.perf_counter()
        try:
            judge(replica.predict(request, timeout_s), version)
        except (RefusedError, ServingError) as error:
            self.failed += 1
            self.fault = self.fault or f"{replica.target}: {error}"
        else:
            self.latencies_s.append(time.perf_counter() - start)


def compare(canary: Tally, stable: Tally, settings: Promote) -> str:
    """Why canary must not become stable; empty when it may."""
    if canary.error_rate > stable.error_rate + settings.max_error_increase:
        return (
            f"{canary.failed} of {canary.asked} requests to canary failed, {stable.failed} of"
            f" {stable.asked} to stable. First: {canary.fault}"
        )
    if not (canary.latencies_s and stable.latencies_s):
        return ""
    mine, theirs = statistics.median(canary.latencies_s), statistics.median(stable.latencies_s)
    if mine > settings.max_latency_ratio * theirs:
        return (
            f"canary takes {1000 * mine:.1f} ms, stable {1000 * theirs:.1f} ms (medians of"
            f" {len(canary.latencies_s)} and {len(stable.latencies_s)} requests); allowed is a"
            f" ratio of {settings.max_latency_ratio:g}"
        )
    return ""


@dataclass(frozen=True)
class Soak:
    """What is compared.

    Attributes:
        replicas: that are asked in turns.
        golden: requests, asked in turns.
        canary: the version with that label.
        stable: the version with the other; None: there is none yet.
        pages: addresses of the replicas' Prometheus pages.
    """

    replicas: Sequence[Replica]
    golden: Sequence[Any]
    canary: int
    stable: int | None
    pages: Sequence[str]

    def run(self, settings: Promote) -> str:
        """Ask until promote.soak_s is over; what was seen, in words.

        Raises:
            RefusedError: canary is worse than stable.
            ServingError: a Prometheus page cannot be read.
        """
        before = self._counts(settings)
        canary, stable = self._ask(settings)
        if fault := compare(canary, stable, settings):
            raise RefusedError(f"Version {self.canary} is worse than {self.stable}: {fault}")
        for url, was, now in zip(self.pages, before, self._counts(settings), strict=True):
            increase, ratio = settings.max_error_increase, settings.max_latency_ratio
            if fault := compare_counts(was, now, increase, ratio):
                raise RefusedError(f"Since version {self.canary} is canary, {url}: {fault}")
        return f"{canary.asked} requests to canary, {canary.failed} failed" + (
            f"; {stable.asked} to stable, {stable.failed} failed" if stable.asked else ""
        )

    def _counts(self, settings: Promote) -> list[Counts]:
        model, timeout_s = settings.model_name, settings.call_timeout_s
        return [read_counts(url, model, timeout_s) for url in self.pages]

    def _ask(self, settings: Promote) -> tuple[Tally, Tally]:
        canary, stable = Tally(), Tally()
        end = time.monotonic() + settings.soak_s
        pause_s = 1.0 / settings.soak_probes_per_s
        for replica, request in zip(cycle(self.replicas), cycle(self.golden)):
            at = time.monotonic()
            pairs = [(canary, CANARY, self.canary), (stable, STABLE, self.stable)]
            # In turns: whoever is asked second finds warmer caches.
            for tally, label, version in pairs if canary.asked % 2 else reversed(pairs):
                if version is not None:
                    tally.ask(
                        replica, asked(request, label=label), version, settings.call_timeout_s
                    )
            failed_early = canary.failed >= _EARLY and compare(canary, stable, settings)
            if failed_early or time.monotonic() + pause_s >= end:
                return canary, stable
            time.sleep(max(0.0, at + pause_s - time.monotonic()))
        raise ValueError("there is nothing to ask, or nobody")
