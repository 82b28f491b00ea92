"""What the server does for a call, by gRPC or by REST, and the threads where requests are computed.

The threads stand behind a short queue; a longer one would answer nobody in time. Whoever comes when
it is full is told so at once, and whoever has waited past its deadline is not computed: the server
is itself again as soon as the load is gone.
"""

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc
import tensorflow as tf

from sortline.client.messages import message
from sortline.client.model_config import read_config_list
from sortline.client.server_status import StatusError, invalid, status_of
from sortline.standin.inference import INFERENCE, Servable
from sortline.standin.monitoring import Monitoring
from sortline.standin.registry import Registry

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
            text = f"{self._pending} requests are under way and waiting; try again later."
            raise StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        self._pending += 1
        loop = asyncio.get_running_loop()

        def unless_late() -> T:
            if deadline is not None and time.monotonic() >= deadline:
                text = "The deadline passed before it was this one's turn."
                raise StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, text)
            return work()

        def finish() -> None:
            self._pending -= 1
            done()

        future: Future[T] = self._executor.submit(unless_late)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(finish))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """End the threads; what waits is dropped, what is under way ends first."""
        self._executor.shutdown(cancel_futures=True)


class Service:
    """All methods of both services, from request message to response message.

    Each of them raises StatusError, with the codes of the table of gRPC errors.
    """

    def __init__(self, registry: Registry, pool: ComputePool, monitoring: Monitoring) -> None:
        self._registry, self._pool, self._monitoring = registry, pool, monitoring

    async def infer(self, method: str, request: Any, deadline: float | None) -> bytes:
        """Predict, Classify or Regress by gRPC; the serialized response.

        The deadline is one of `time.monotonic`; None for never.
        """

        def work(servable: Servable) -> tuple[Any, bytes]:
            response = INFERENCE[method](servable, request)
            return response, response.SerializeToString()

        async with self.counted("GRPC", method, request):
            _check_spec(request)
            return await self.predict_with(request, work, deadline)

    @asynccontextmanager
    async def counted(self, protocol: str, method: str, request: Any) -> AsyncIterator[None]:
        """Count a call of an inference method, and time it."""
        start, code = time.perf_counter(), "CANCELLED"
        try:
            yield
            code = "OK"
        except StatusError as error:
            code = error.code.name
            raise
        finally:
            name = request.model_spec.name
            model = name if name in self._registry.catalogue.models else None
            took = time.perf_counter() - start
            self._monitoring.called(model, method, protocol, code, took)

    async def predict_with(
        self, request: Any, work: Callable[[Servable], tuple[Any, T]], deadline: float | None
    ) -> T:
        """Compute with the version that a request means, which stays loaded until that is done.

        Args:
            request: of an inference method.
            work: called in a thread; returns the response, and what is made of it.
            deadline: see `infer`.
        """
        version = self._registry.catalogue.find(request.model_spec)
        servable = version.acquire()
        run = functools.partial(work, servable)
        try:
            response, made = await self._pool.run(run, deadline, done=version.release)
        except tf.errors.OpError as error:
            status = status_of(error)
            raise StatusError(status.code, status.details) from error
        if servable.is_ours and {"label", "probabilities"} <= set(response.outputs):
            labels = response.outputs["label"].string_val
            values = response.outputs["probabilities"].float_val
            classes = len(values) // len(labels) if labels else 0
            most = [max(values[i * classes : (i + 1) * classes]) for i in range(len(labels))]
            self._monitoring.predicted(servable.name, version.number, labels, most)
        return made

    async def metadata(self, request: Any) -> Any:
        """GetModelMetadata."""
        _check_spec(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        version = self._registry.catalogue.find(request.model_spec)
        response = message("tensorflow.serving.GetModelMetadataResponse")()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version.number
        signatures = message("tensorflow.serving.SignatureDefMap")()
        servable = version.acquire()
        try:
            for name, definition in servable.signatures.items():
                signatures.signature_def[name].ParseFromString(definition.SerializeToString())
        finally:
            version.release()
        response.metadata["signature_def"].Pack(signatures)
        return response

    async def status(self, request: Any) -> Any:
        """GetModelStatus."""
        _check_spec(request)
        response = message("tensorflow.serving.GetModelStatusResponse")()
        for version in self._registry.catalogue.statuses(request.model_spec):
            status = version.status
            response.model_version_status.add(
                version=version.number,
                state=version.state.value,
                status={"error_code": status.number, "error_message": status.details},
            )
        return response

    async def reload(self, request: Any) -> Any:
        """HandleReloadConfigRequest; returns when everything wanted is available."""
        # A client that leaves must not leave half of a config list behind.
        task = asyncio.ensure_future(self._registry.apply(read_config_list(request.config)))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(task)
        return message("tensorflow.serving.ReloadConfigResponse")(status={"error_code": 0})


def _check_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
