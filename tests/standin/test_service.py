"""More calls than can be computed: the surplus is refused at once, and nothing is left behind."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from helpers.served_models import Client, Running, client_of, refusal, standin, versions

from sortline.client.server_status import StatusError
from sortline.standin.service import ComputePool


class Work:
    """Something to compute that begins and ends when the test says so."""

    def __init__(self) -> None:
        self.begun, self.end = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.end.wait(30)
        return "done"


def run(test: Callable[[ComputePool], object]) -> None:
    async def main() -> None:
        pool = ComputePool(workers=1, queue=1)
        try:
            await test(pool)  # type: ignore[misc]
        finally:
            pool.close()

    asyncio.run(main())


async def begin(pool: ComputePool, work: Work) -> "asyncio.Task[str]":
    task = asyncio.create_task(pool.run(work, None))
    await asyncio.to_thread(work.begun.wait)
    return task


def test_a_full_queue_refuses_at_once_and_has_room_again_afterwards() -> None:
    async def test(pool: ComputePool) -> None:
        first, second = Work(), Work()
        running = await begin(pool, first)
        waiting = asyncio.create_task(pool.run(second, None))
        await asyncio.sleep(0)
        released: list[str] = []
        with pytest.raises(StatusError, match="RESOURCE_EXHAUSTED: 2 requests are under way"):
            await pool.run(Work(), None, done=lambda: released.append("refused"))
        assert released == ["refused"]
        first.end.set()
        second.end.set()
        assert [await running, await waiting] == ["done", "done"]
        third = Work()
        third.end.set()
        assert await pool.run(third, None) == "done"

    run(test)


def test_a_request_whose_deadline_has_passed_is_not_computed() -> None:
    async def test(pool: ComputePool) -> None:
        first, late = Work(), Work()
        running = await begin(pool, first)
        waiting = asyncio.create_task(pool.run(late, time.monotonic()))
        await asyncio.sleep(0)
        first.end.set()
        with pytest.raises(StatusError, match="DEADLINE_EXCEEDED"):
            await waiting
        assert not late.begun.is_set()
        assert await running == "done"

    run(test)


def test_who_left_is_not_computed_and_what_is_under_way_is_released_when_it_ends() -> None:
    async def test(pool: ComputePool) -> None:
        first, second = Work(), Work()
        released = asyncio.Event()
        running = asyncio.create_task(pool.run(first, None, done=released.set))
        await asyncio.to_thread(first.begun.wait)
        waiting = asyncio.create_task(pool.run(second, None))
        await asyncio.sleep(0)
        for task in (running, waiting):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not released.is_set(), "its version would be unloaded under it"
        first.end.set()
        await released.wait()
        assert not second.begun.is_set()

    run(test)


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
