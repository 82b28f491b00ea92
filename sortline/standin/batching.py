"""Requests of several callers computed as one, as `--enable_batching` has it.

Whoever begins a batch waits until it is full or its time is over, and until a batch fewer than
`num_batch_threads` is being computed; computes it; and hands out the rows. Two differences from the
real server: requests whose rows have different shapes go into different batches, where the real one
refuses them, and who comes when too many batches wait gets RESOURCE_EXHAUSTED, where the real one
says UNAVAILABLE, which clients take for a restart.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from sortline.client.server_status import StatusError, invalid

Array = npt.NDArray[Any]
Compute = Callable[[Mapping[str, Array]], list[Array]]
Key = tuple[object, ...]


@dataclass(frozen=True)
class BatchingParameters:
    """How requests are put together; the defaults are the real server's.

    Attributes:
        max_batch_size: rows of a batch, and of a request.
        batch_timeout_micros: that a batch which is not full waits for more, in us.
        max_enqueued_batches: that wait to be computed, of one version.
        num_batch_threads: batches that are computed at once, of one version.
        allowed_batch_sizes: rows that the graph is given; none: any number.
        ignored: what the file says besides, and this stand-in does not honour.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()
    ignored: tuple[str, ...] = ()

    def padded(self, size: int) -> int:
        """The rows that the graph is given for so many."""
        fitting = (allowed for allowed in self.allowed_batch_sizes if allowed >= size > 0)
        return next(fitting, size)


@dataclass
class _Batch:
    """Requests that will be computed together.

    Attributes:
        due: when it is computed, full or not, of `time.monotonic`.
        requests: the inputs of each, by name.
        size: rows of all of them.
        results: outputs of each; set with `failure` before `done`.
    """

    due: float
    requests: list[Mapping[str, Array]] = field(default_factory=list)
    size: int = 0
    results: list[list[Array]] = field(default_factory=list)
    failure: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Batcher:
    """The batches of one loaded version; thread-safe, each caller in a thread of its own.

    Attributes:
        waiting: batches that are not being computed yet.
    """

    def __init__(self, settings: BatchingParameters) -> None:
        self._settings, self._changed = settings, threading.Condition()
        self._open: dict[Key, _Batch] = {}
        self.waiting = self._computing = 0

    def run(self, key: Key, feeds: Mapping[str, Array], compute: Compute) -> list[Array]:
        """Outputs of one request, each with as many rows as its inputs.

        Args:
            key: requests with the same one can be computed together.
            feeds: inputs by name, each with rows along its first dimension.
            compute: from inputs of any number of rows to outputs.

        Raises:
            StatusError: it is larger than a batch, not of rows, or too many batches wait.
            tf.errors.OpError: the graph refuses the values of a request in the same batch.
        """
        if not all(value.ndim for value in feeds.values()):
            raise invalid("Batching Run() input tensors must have at least one dimension")
        sizes = {len(value) for value in feeds.values()}
        if len(sizes) != 1:
            raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
        size, most = sizes.pop(), self._settings.max_batch_size
        if size > most:
            raise invalid(f"Task size {size} is larger than maximum input batch size {most}")
        key = (*key, *((name, feeds[name].shape[1:]) for name in sorted(feeds)))
        batch, place = self._join(key, feeds, size)
        if place == 0:
            self._lead(key, batch, compute)
        batch.done.wait()
        if batch.failure is not None:
            raise batch.failure
        return batch.results[place]

    def _join(self, key: Key, feeds: Mapping[str, Array], size: int) -> tuple[_Batch, int]:
        """The batch that a request is put into, and its place there."""
        with self._changed:
            batch = self._open.get(key)
            if batch is None or batch.size + size > self._settings.max_batch_size:
                if self.waiting >= self._settings.max_enqueued_batches:
                    raise StatusError(
                        grpc.StatusCode.RESOURCE_EXHAUSTED,
                        "The batch scheduling queue to which this task was submitted is full",
                    )
                batch = _Batch(time.monotonic() + self._settings.batch_timeout_micros / 1e6)
                self._open[key] = batch
                self.waiting += 1
            batch.requests.append(feeds)
            batch.size += size
            self._changed.notify_all()
            return batch, len(batch.requests) - 1

    def _lead(self, key: Key, batch: _Batch, compute: Compute) -> None:
        """Wait until a batch may be computed, and compute it for all who joined."""
        with self._changed:
            while (wait_s := self._wait_s(key, batch)) != 0.0:
                self._changed.wait(wait_s)
            if self._open.get(key) is batch:
                del self._open[key]
            self.waiting -= 1
            self._computing += 1
        try:
            batch.results = self._computed(batch.requests, batch.size, compute)
        except BaseException as error:  # It is every caller's, who raises it.
            batch.failure = error
        finally:
            batch.done.set()
            with self._changed:
                self._computing -= 1
                self._changed.notify_all()

    def _wait_s(self, key: Key, batch: _Batch) -> float | None:
        """Seconds until it may be computed; None: until something changes."""
        if self._computing >= self._settings.num_batch_threads:
            return None
        full = self._open.get(key) is not batch or batch.size >= self._settings.max_batch_size
        return 0.0 if full else max(0.0, batch.due - time.monotonic())

    def _computed(
        self, requests: list[Mapping[str, Array]], size: int, compute: Compute
    ) -> list[list[Array]]:
        rows = self._settings.padded(size)
        feeds = {}
        for name in requests[0]:
            values = np.concatenate([request[name] for request in requests])
            # The first row again where some are missing.
            feeds[name] = np.concatenate([values, np.repeat(values[:1], rows - size, axis=0)])
        outputs = compute(feeds)
        if wrong := [value.shape for value in outputs if value.ndim == 0 or len(value) != rows]:
            raise StatusError(
                grpc.StatusCode.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension"
                f" sizes of the input tensors: {list(wrong[0])}, {rows}",
            )
        ends = np.cumsum([len(next(iter(request.values()))) for request in requests])
        split = (np.split(value[:size], ends[:-1]) for value in outputs)
        return [list(answers) for answers in zip(*split, strict=True)]
