"""The queue in front of TensorFlow: bounded, in order, and blind to who has left."""

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from sortline.client.server_status import StatusError
from sortline.standin.compute import ComputePool


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
