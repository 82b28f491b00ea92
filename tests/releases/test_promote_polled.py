"""Servers that read the model config file themselves follow it, whoever may reload them or not."""

import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from helpers.promotion_parts import Meddler, Releases
from helpers.served_models import Running, standin

from sortline.core.errors import ServingError
from sortline.releases.store import CONFIG

pytest_plugins = ["helpers.release_fixtures", "helpers.promotion_fixtures"]

POLL_S = 1.0


@pytest.fixture
def polling(releases: Releases) -> Iterator[Running]:
    """A server that serves version 1 from the file, and looks at it every second."""
    releases.promote(1, targets=())
    flags = (
        f"--model_config_file={releases.store.address}/{CONFIG}",
        f"--model_config_file_poll_wait_seconds={POLL_S:.0f}",
        "--allow_version_labels_for_unavailable_models",
    )
    with standin(*flags) as running:
        releases.targets = [running.at.grpc]
        assert releases.answers("stable") == [1]
        yield running


def wait_until(releases: Releases, stable: int, states: dict[int, str]) -> None:
    limit = time.monotonic() + 30
    while (releases.answers("stable"), releases.states()) != ([stable], [states]):
        assert time.monotonic() < limit, (releases.answers("stable"), releases.states())
        time.sleep(0.1)


@pytest.mark.usefixtures("polling")
def test_a_server_whose_labels_are_taken_follows_a_file_that_nobody_told_it_of(
    releases: Releases,
) -> None:
    releases.promote(2, targets=(), poll_s=3 * POLL_S)
    wait_until(releases, 2, {1: "AVAILABLE", 2: "AVAILABLE"})
    assert releases.rollback(targets=()) == (2, 1)
    wait_until(releases, 1, {1: "AVAILABLE", 2: "END"})


def locked(_method: str, _request: Any) -> Any:
    return (grpc.StatusCode.PERMISSION_DENIED, "no") if _method.startswith("Handle") else None


def test_a_replica_that_nobody_may_reload_is_waited_for(
    releases: Releases, polling: Running
) -> None:
    with Meddler(polling.at.grpc) as door:
        door.meddle = locked
        releases.targets = [door.target]
        with pytest.raises(ServingError, match=r"PERMISSION_DENIED.*promote\.reload: false"):
            releases.promote(2)
        releases.promote(2, reload=False, poll_s=POLL_S)
        assert releases.answers("stable") == releases.answers("canary") == [2]
        assert releases.rollback(reload=False, poll_s=POLL_S) == (2, 1)
        assert releases.answers("stable") == [1]


def test_a_replica_that_does_not_poll_is_named_and_all_is_put_back(
    releases: Releases, targets: list[str]
) -> None:
    releases.promote(1)
    with pytest.raises(ServingError, match=f"{targets[0]} does not serve version 2"):
        releases.promote(2, reload=False, deadline_s=1.0)
    assert releases.served().labels == {"canary": 1, "stable": 1}
    assert releases.answers("stable") == [1, 1]
