"""One prediction, but for the waiting: what to send, how often, and what to make of the answers.

Both clients drive it, each waiting in its own way: calls go out one after another, images are read
as they are needed, and one deadline holds for all.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import grpc
from tenacity import (
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from sortline.client.base_client import BaseClient
from sortline.client.batching import batched
from sortline.client.picture import Admitted, Image, admit
from sortline.client.prediction import Prediction, read_predictions, refused
from sortline.client.rpc import code_of, explained
from sortline.client.tensors import TensorError
from sortline.core.errors import ImageError, ParamsError, ServingError
from sortline.core.logged_predictions import LoggedPrediction

_IMAGE_OVERHEAD_BYTES: Final = (
    6  # In a message: a field's number, and a length of up to five bytes.
)


FIRST_WAIT_S: Final = 0.1  # At most; the time is drawn between nothing and this, then twice this.
LONGEST_WAIT_S: Final = 2.0


def is_unavailable(error: BaseException) -> bool:
    """Whether the server was not there: a refused connection, a restart, a shutdown."""
    return isinstance(error, grpc.RpcError) and code_of(error) == "UNAVAILABLE"


def policy(
    max_attempts: int, within_s: float, on_retry: Callable[[RetryCallState], None]
) -> dict[str, Any]:
    """Arguments of tenacity's `Retrying` and `AsyncRetrying`.

    Not gRPC's own retries: those stop after five attempts, which a server that starts anew
    outlasts, keep no message above 256 KiB to send it again unless told so, and draw their waits
    from a fifth around the mean, so that the clients of a server that went come back together.

    Args:
        max_attempts: in all.
        within_s: no attempt begins later than this after the first.
        on_retry: called before each wait.
    """
    return {
        "retry": retry_if_exception(is_unavailable),
        "wait": wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
        "stop": stop_after_attempt(max_attempts) | stop_before_delay(within_s),
        "before_sleep": on_retry,
        "reraise": True,
    }


@dataclass(frozen=True)
class _Item:
    index: int
    image: Admitted


class Call:
    """One request, from its first attempt to its answer.

    Attributes:
        request: the PredictRequest.
        begun: when, in UTC.
        latency_s: until its answer or failure, retries included.
    """

    def __init__(self, client: BaseClient, items: list[_Item], deadline: float) -> None:
        self.items = items
        self.request = client.request([item.image.data for item in items])
        self.begun, self._started, self.latency_s = datetime.now(UTC), time.monotonic(), 0.0
        self._client, self._deadline, self._attempts = client, deadline, 1

    def remaining_s(self) -> float:
        """Until the deadline of all; negative when it has passed: gRPC sends nothing then."""
        return self._deadline - time.monotonic()

    def retrying(self) -> dict[str, Any]:
        """Arguments of tenacity's `Retrying` and `AsyncRetrying`."""
        return policy(self._client.max_attempts, self.remaining_s(), self._retried)

    def _retried(self, _: object) -> None:
        self._attempts += 1
        if self._client.metrics:
            self._client.metrics.retried(self._client.model_name)

    @contextmanager
    def observed(self) -> Iterator[None]:
        """Measures the block, and makes gRPC's errors ours.

        Raises:
            ServingError: the block raised one of gRPC's.
        """
        try:
            yield
        except grpc.RpcError as error:
            self._stop()
            tried = f"{self._attempts} attempts in {self.latency_s:.1f} s"
            ours = explained(error, self._client.target, tried if self._attempts > 1 else "")
            self.ended(ours.code)
            raise ours from error
        self._stop()

    def _stop(self) -> None:
        self.latency_s = time.monotonic() - self._started

    def ended(self, code: str) -> None:
        """Count it, under gRPC's code of that name."""
        if self._client.metrics:
            self._client.metrics.called(self._client.model_name, code, self.latency_s)


class Exchange:
    """One prediction of any number of images.

    Args:
        client: its settings.
        images: paths or bytes; taken as they are needed, a request's worth at a time.
        timeout_s: for all of it, from now; None for the client's.

    Raises:
        ParamsError: `images` is a single one.
    """

    def __init__(
        self, client: BaseClient, images: Iterable[Image], timeout_s: float | None
    ) -> None:
        if isinstance(images, str | bytes | Path):
            raise ParamsError("predict takes a list of images: put the one into brackets.")
        self._client, self._images, self._room = client, images, client.room
        self._deadline = time.monotonic() + (client.timeout_s if timeout_s is None else timeout_s)
        self._labels = tuple(client.labels)
        self._predictions: dict[int, Prediction] = {}

    def calls(self) -> Iterator[Call]:
        """What is to be sent, one request after another."""
        batches = batched(
            self._admitted(),
            lambda item: len(item.image.data) + _IMAGE_OVERHEAD_BYTES,
            max_size=self._room,
            max_items=self._client.max_batch_items,
        )
        return (Call(self._client, items, self._deadline) for items in batches)

    def _admitted(self) -> Iterator[_Item]:
        client = self._client
        for index, image in enumerate(self._images):
            if not isinstance(image, Path | bytes):
                raise ParamsError(f"An image is a Path or bytes; {image!r} is neither.")
            try:
                admitted = admit(
                    image,
                    max_pixels=client.max_pixels,
                    max_bytes=self._room - _IMAGE_OVERHEAD_BYTES,
                )
            except ImageError as refusal:
                self._predictions[index] = refused(refusal, self._labels)
                if client.metrics:
                    client.metrics.refused(refusal.reason)
            else:
                yield _Item(index, admitted)

    def accept(self, call: Call, response: Any) -> None:
        """Read the answer to a call, count it and log it.

        Raises:
            ServingError: it does not fit the request ("INTERNAL").
        """
        try:
            predictions = self._read(call, response)
        except TensorError as error:
            call.ended("INTERNAL")
            target = self._client.target
            raise ServingError(
                "INTERNAL",
                target,
                f"{target}: the answer of {self._client.model_name} does not fit: {error}. Check"
                " that the model there is one that Sortline exported.",
            ) from error
        call.ended("OK")
        if self._client.metrics:
            self._client.metrics.answered(self._client.model_name, predictions)
        for item, prediction in zip(call.items, predictions, strict=True):
            self._predictions[item.index] = prediction
            if self._client.log:
                self._client.log(self._sent(call, item.image.data, prediction))

    def _read(self, call: Call, response: Any) -> list[Prediction]:
        pinned, version = self._client.version, response.model_spec.version.value
        if pinned is not None and version != pinned:
            raise TensorError(f"version {version} answered, not version {pinned}")
        rotated = [item.image.rotated for item in call.items]
        return read_predictions(response, rotated, self._labels)

    def _sent(self, call: Call, image: bytes, prediction: Prediction) -> LoggedPrediction:
        return LoggedPrediction(
            time=call.begun,
            model=self._client.model_name,
            version=prediction.version or 0,
            sha256=hashlib.sha256(image).hexdigest(),
            class_id=prediction.class_id,
            label=prediction.label,
            probabilities=prediction.probabilities,
            valid=prediction.valid,
            latency_s=call.latency_s,
            image=image,
        )

    def predictions(self) -> list[Prediction]:
        """One an image, in their order, when every call is answered."""
        return [self._predictions[index] for index in sorted(self._predictions)]
