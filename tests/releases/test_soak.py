"""The soak: canary is compared with stable, and one that is worse does not become stable."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from helpers.promotion_parts import SOAK, Meddler, Releases
from helpers.release_parts import settings

from sortline.core.errors import ParamsError, RefusedError
from sortline.releases.soak import (
    Counts,
    Tally,
    compare,
    compare_counts,
    parse_counts,
    read_counts,
)

pytest_plugins = ["helpers.release_fixtures", "helpers.promotion_fixtures"]

PROMOTE = settings(promote={"max_error_increase": 0.1, "max_latency_ratio": 1.5}).promote


@pytest.mark.parametrize(
    ("canary", "stable", "said"),
    [
        (Tally(0, [0.010] * 9), Tally(0, [0.010] * 9), ""),
        (Tally(0, [0.014] * 9), Tally(0, [0.010] * 9), ""),
        (Tally(0, [0.016] * 9), Tally(0, [0.010] * 9), "canary takes 16.0 ms, stable 10.0 ms"),
        (Tally(0, [0.001] * 9), Tally(0, [0.010] * 9), ""),
        (Tally(0, [0.010] * 8 + [9.0]), Tally(0, [0.010] * 9), ""),
        (Tally(1, [0.010] * 9, "h:1: x"), Tally(0, [0.010] * 10), ""),
        (Tally(2, [0.010] * 8, "h:1: x"), Tally(0, [0.010] * 10), "2 of 10 requests.*h:1: x"),
        (Tally(2, [0.010] * 8), Tally(2, [0.010] * 8), ""),
        (Tally(5, [], "h:1: x"), Tally(0, [], ""), "5 of 5 requests to canary failed, 0 of 0"),
        (Tally(0, [0.010]), Tally(0, []), ""),
    ],
)
def test_canary_is_compared_by_errors_and_by_the_median(
    canary: Tally, stable: Tally, said: str
) -> None:
    found = compare(canary, stable, PROMOTE)
    if said:
        assert re_search(said, found)
    else:
        assert found == ""


def re_search(pattern: str, text: str) -> object:
    import re

    return re.search(pattern, text)


@pytest.fixture
def serving(releases: Releases) -> Iterator[tuple[Releases, Meddler]]:
    releases.promote(1)
    with Meddler(releases.targets[1]) as meddler:
        releases.targets = [releases.targets[0], meddler.target]
        yield releases, meddler


def is_for_canary(request: Any) -> bool:
    return bool(request.model_spec.version_label == "canary")


def in_the_soak(meddler: Meddler, meddle: Any) -> Any:
    def begin(name: str) -> None:
        meddler.meddle = meddle if name == "soak" else lambda *_: None

    return begin


def test_a_canary_that_fails_in_the_soak_is_put_back(serving: tuple[Releases, Meddler]) -> None:
    releases, meddler = serving
    fault = (grpc.StatusCode.RESOURCE_EXHAUSTED, "out of memory")

    def fail(method: str, request: Any) -> Any:
        return fault if method == "Predict" and is_for_canary(request) else None

    step = in_the_soak(meddler, fail)
    with pytest.raises(RefusedError, match=r"Version 2 is worse than 1: .*out of memory"):
        releases.promote(2, step=step, **{**SOAK, "soak_s": 600.0})  # It does not wait for its end.
    meddler.meddle = lambda *_: None
    assert releases.served().labels["canary"] == 1
    assert releases.answers("stable") == releases.answers("canary") == [1, 1]


def test_a_slow_canary_is_put_back(serving: tuple[Releases, Meddler]) -> None:
    releases, meddler = serving
    # However slow the machine is, no canary takes a millionth of stable's time.
    with pytest.raises(RefusedError, match="allowed is a ratio of 1e-06"):
        releases.promote(2, targets=[meddler.target], **{**SOAK, "max_latency_ratio": 1e-6})
    assert releases.served().stable == releases.served().labels["canary"] == 1


def test_what_fails_for_stable_as_well_is_not_held_against_canary(
    serving: tuple[Releases, Meddler],
) -> None:
    releases, meddler = serving
    fault = (grpc.StatusCode.UNAVAILABLE, "the network")
    step = in_the_soak(meddler, lambda method, _: fault if method == "Predict" else None)
    releases.promote(2, step=step, **SOAK)
    assert releases.served().stable == 2


PAGE = """
# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{model_name="m",status="OK"} 90
:tensorflow:serving:request_count{model_name="m",status="INVALID_ARGUMENT"} 6
:tensorflow:serving:request_count{model_name="m",status="INTERNAL"} 4
:tensorflow:serving:request_count{model_name="other",status="INTERNAL"} 1000
# TYPE :tensorflow:serving:request_latency histogram
:tensorflow:serving:request_latency_bucket{model_name="m",API="Predict",le="+Inf"} 90
:tensorflow:serving:request_latency_sum{model_name="m",API="Predict"} 9000
:tensorflow:serving:request_latency_count{model_name="m",API="Predict"} 90
"""


def test_a_page_of_the_real_server_is_read() -> None:
    assert parse_counts(PAGE, "m") == Counts(100, 4, 90, 9000)
    assert parse_counts(PAGE, "none") == Counts(0, 0, 0, 0)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (Counts(200, 8, 180, 18000), ""),
        (Counts(200, 30, 180, 18000), r"26\.00% of all its requests failed, 4\.00% before"),
        (Counts(200, 4, 190, 39000), "3.00 times as long"),
        (Counts(110, 14, 100, 10000), ""),  # Ten requests say nothing.
        (Counts(50, 0, 50, 5000), "started anew"),
    ],
)
def test_all_traffic_is_compared_with_what_was_before(after: Counts, said: str) -> None:
    found = compare_counts(Counts(100, 4, 90, 9000), after, 0.1, 1.5)
    assert re_search(said, found)
    assert bool(said) == bool(found)


def test_an_address_that_is_no_page_is_named() -> None:
    with pytest.raises(ParamsError, match="no page"):
        read_counts("file:///etc/passwd", "m", 1.0)
