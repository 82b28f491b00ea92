"""Clients that load a model server: closed loops, a steady rate, and what they saw.

They live in one process of their own and speak raw messages: on a small machine a client's work is
taken from the server's.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from sortline.client.messages import PREDICTION_SERVICE, message
from sortline.client.rpc import method
from sortline.client.tensors import to_proto

MODEL = "sortline"


def request_for(
    image: bytes, *, version: int | None = None, label: str | None = None, signature: str = ""
) -> Any:
    """A PredictRequest with one image."""
    request = message("tensorflow.serving.PredictRequest")()
    request.model_spec.name, request.model_spec.signature_name = MODEL, signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    request.inputs["image_bytes"].CopyFrom(to_proto([image]))
    return request


@dataclass
class Seen:
    """What came back.

    Attributes:
        codes: how calls ended, by gRPC's names.
        latencies_s: of the calls that were answered, from when they were due.
        faults: answers that were not what was asked for.
    """

    codes: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def quantile_s(self, share: float) -> float:
        """A quantile of the latencies; NaN when nothing was answered."""
        if not self.latencies_s:
            return math.nan
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


Check = Callable[[Any], str | None]


def _nothing_wrong(_: Any) -> None:
    return None


class Load:
    """Calls of Predict on one server.

    Args:
        target: HOST:PORT.
        deadline_s: of each call.
    """

    def __init__(self, target: str, deadline_s: float) -> None:
        self._channel = grpc.aio.insecure_channel(target)
        self._predict = method(self._channel, PREDICTION_SERVICE, "Predict")
        self._deadline_s = deadline_s

    async def call(
        self, request: Any, seen: Seen, due: float | None = None, check: Check = _nothing_wrong
    ) -> None:
        """One call.

        Args:
            request: a PredictRequest.
            seen: where its end is noted.
            due: when it should have been sent, of `time.monotonic()`; now if absent.
            check: says what is wrong with an answer; None for nothing.
        """
        begun = time.monotonic() if due is None else due
        try:
            answer = await self._predict(request, timeout=self._deadline_s)
        except grpc.aio.AioRpcError as error:
            seen.codes[error.code().name] += 1
            return
        seen.codes["OK"] += 1
        seen.latencies_s.append(time.monotonic() - begun)
        if fault := check(answer):
            seen.faults.append(fault)

    async def closed(self, requests: Sequence[Any], clients: int, seconds: float) -> Seen:
        """So many clients, each of which asks again when it is answered."""
        seen, end = Seen(), time.monotonic() + seconds

        async def client(number: int) -> None:
            turn = number
            while time.monotonic() < end:
                await self.call(requests[turn % len(requests)], seen)
                turn += clients

        await asyncio.gather(*(client(number) for number in range(clients)))
        return seen

    async def steady(self, requests: Sequence[Any], rate: float, seconds: float) -> Seen:
        """So many calls a second, whether or not earlier ones were answered."""
        seen, started = Seen(), time.monotonic()
        calls: set[asyncio.Task[None]] = set()
        for number in range(int(rate * seconds)):
            due = started + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self.call(requests[number % len(requests)], seen, due))
            calls.add(task)
            task.add_done_callback(calls.discard)
        await asyncio.gather(*calls)
        return seen

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()
