"""Requests of several callers computed as one, as `--enable_batching` has it.

Whoever begins a batch waits until it is full or its time is over, and until a batch fewer than
`num_batch_threads` is being computed; computes it; and hands out the rows. Two differences from the
real server: requests whose rows have different shapes go into different batches, where the real one
refuses them, and who comes when too many batches wait gets RESOURCE_EXHAUSTED, where the real one
says UNAVAILABLE, which clients take for a restart.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from sortline.client.server_status import StatusError, invalid
from sortline.standin.batching_parameters import BatchingParameters

Array = npt.NDArray[Any]
Compute = Callable[[Mapping[str, Array]], list[Array]]
Key = tuple[object, ...]


@dataclass
class _Batch:
    """Requests that will be computed together.

    Attributes:
        parts: the inputs of each, by name.
        size: rows of all of them.
        due: when it is computed, full or not, of `time.monotonic`.
        results: outputs of each; set with `failure` before `done`.
    """

    due: float
    parts: list[Mapping[str, Array]] = field(default_factory=list)
    size: int = 0
    results: list[list[Array]] = field(default_factory=list)
    failure: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def add(self, feeds: Mapping[str, Array], size: int) -> int:
        """One more request; its place."""
        self.parts.append(feeds)
        self.size += size
        return len(self.parts) - 1

    def answer(self, place: int) -> list[Array]:
        """Wait for the outputs of the request at a place."""
        self.done.wait()
        if self.failure is not None:
            raise self.failure
        return self.results[place]


def _size(feeds: Mapping[str, Array]) -> int:
    if not all(value.ndim for value in feeds.values()):
        raise invalid("Batching Run() input tensors must have at least one dimension")
    sizes = {len(value) for value in feeds.values()}
    if len(sizes) != 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop()


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
        size, most = _size(feeds), self._settings.max_batch_size
        if size > most:
            raise invalid(f"Task size {size} is larger than maximum input batch size {most}")
        shapes = tuple((name, feeds[name].shape[1:]) for name in sorted(feeds))
        batch, place = self._join((*key, shapes), feeds, size)
        if place == 0:
            self._lead((*key, shapes), batch, compute)
        return batch.answer(place)

    def _join(self, key: Key, feeds: Mapping[str, Array], size: int) -> tuple[_Batch, int]:
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
            place = batch.add(feeds, size)
            self._changed.notify_all()
            return batch, place

    def _lead(self, key: Key, batch: _Batch, compute: Compute) -> None:
        with self._changed:
            while (wait_s := self._wait_s(key, batch)) != 0.0:
                self._changed.wait(wait_s)
            if self._open.get(key) is batch:
                del self._open[key]
            self.waiting -= 1
            self._computing += 1
        try:
            batch.results = self._computed(batch, compute)
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

    def _computed(self, batch: _Batch, compute: Compute) -> list[list[Array]]:
        rows = self._settings.padded(batch.size)
        names = list(batch.parts[0])
        outputs = compute({name: _stacked(batch.parts, name, rows) for name in names})
        if wrong := [value.shape for value in outputs if value.ndim == 0 or len(value) != rows]:
            raise StatusError(
                grpc.StatusCode.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension"
                f" sizes of the input tensors: {list(wrong[0])}, {rows}",
            )
        ends = np.cumsum([len(next(iter(part.values()))) for part in batch.parts])
        split = (np.split(value[: ends[-1]], ends[:-1]) for value in outputs)
        return [list(each) for each in zip(*split, strict=True)]


def _stacked(parts: list[Mapping[str, Array]], name: str, rows: int) -> Array:
    """The rows of all requests, and the first of them again where some are missing."""
    values = np.concatenate([part[name] for part in parts])
    return np.concatenate([values, np.repeat(values[:1], rows - len(values), axis=0)])
