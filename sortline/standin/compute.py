"""Where requests are computed: a few threads behind a short queue.

A longer queue would answer nobody in time. Whoever comes when it is full is told so at once, and
whoever has waited past its deadline is not computed: the server is itself again as soon as the load
is gone.
"""

import asyncio
import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import grpc

from sortline.client.server_status import StatusError

T = TypeVar("T")


class ComputePool:
    """Threads that compute.

    Args:
        workers: threads; how many requests are in TensorFlow at once.
        queue: how many more may wait.
    """

    def __init__(self, workers: int, queue: int) -> None:
        self._executor = ThreadPoolExecutor(workers, "compute")
        self._limit = workers + queue
        self._pending = 0

    async def run(
        self,
        work: Callable[[], T],
        deadline: float | None,
        done: Callable[[], None] = lambda: None,
    ) -> T:
        """Compute in a thread.

        Args:
            work: what to do.
            deadline: of `time.monotonic`; None for never.
            done: called on the event loop when `work` has ended, or will never begin; also when
                the caller was cancelled meanwhile, which does not stop a thread.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, the queue is full; DEADLINE_EXCEEDED, too late.
        """
        if self._pending >= self._limit:
            done()
            raise StatusError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{self._pending} requests are under way and waiting; try again later.",
            )
        self._pending += 1
        loop = asyncio.get_running_loop()
        future = self._executor.submit(_unless_late, work, deadline)
        finish = functools.partial(self._finish, done)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(finish))
        return await asyncio.wrap_future(future)

    def _finish(self, done: Callable[[], None]) -> None:
        self._pending -= 1
        done()

    def close(self) -> None:
        """End the threads; what waits is dropped, what is under way ends first."""
        self._executor.shutdown(cancel_futures=True)


def _unless_late(work: Callable[[], T], deadline: float | None) -> T:
    if deadline is not None and time.monotonic() >= deadline:
        raise StatusError(
            grpc.StatusCode.DEADLINE_EXCEEDED, "The deadline passed before it was this one's turn."
        )
    return work()
