"""More calls than can be computed: the surplus is refused at once, and nothing is left behind."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from helpers.served_models import Client, Running, client_of, refusal, standin, versions

WAIT = {"name": "default", "signature_name": "wait"}
ROOM = 3


@pytest.fixture
def small(tmp_path: Path, half_plus_two_gated: Path) -> Iterator[tuple[Running, Client]]:
    """A server with one thread and room for two more calls."""
    base_path = versions(tmp_path / "default", half_plus_two_gated, 1)
    flag = f"--model_base_path={base_path}"
    with standin(flag, workers=1, queue=ROOM - 1) as running, client_of(running) as client:
        yield running, client


def outcome(client: Client, timeout: float = 120.0) -> str:
    try:
        client.predict(WAIT, timeout, ticket=np.array(0, np.int32))
    except grpc.RpcError as error:
        return refusal(error)[0]
    return "OK"


def test_the_surplus_is_refused_at_once_and_there_is_room_again_at_once(
    small: tuple[Running, Client],
) -> None:
    running, client = small
    with ThreadPoolExecutor(ROOM) as callers, running.gate() as go:
        admitted = [callers.submit(outcome, client) for _ in range(ROOM)]
        running.wait_for_calls(ROOM)
        for _ in range(20):
            assert outcome(client) == "RESOURCE_EXHAUSTED"
        assert client.states() == {1: "AVAILABLE"}, "its state must be told under any load"
        for _ in range(2 * ROOM):
            go()
        assert [each.result() for each in admitted] == ["OK"] * ROOM
        assert client.half_plus(2.0) == 3.0
        again = [callers.submit(outcome, client) for _ in range(ROOM)]
        assert [each.result() for each in again] == ["OK"] * ROOM


def test_who_gave_up_waiting_makes_room_before_the_one_ahead_has_ended(
    small: tuple[Running, Client],
) -> None:
    running, client = small
    with ThreadPoolExecutor(ROOM) as callers, running.gate() as go:
        ahead = callers.submit(outcome, client)
        running.wait_for_calls(1)
        late = [callers.submit(outcome, client, 0.2) for _ in range(ROOM - 1)]
        assert [each.result() for each in late] == ["DEADLINE_EXCEEDED"] * (ROOM - 1)
        patient = [callers.submit(outcome, client) for _ in range(ROOM - 1)]
        running.wait_for_calls(ROOM)
        for _ in range(ROOM):
            go()
        assert ahead.result() == "OK"
        assert [each.result() for each in patient] == ["OK"] * (ROOM - 1)
