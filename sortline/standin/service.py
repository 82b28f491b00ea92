"""What the server does for a call, whether it came by gRPC or by REST."""

import functools
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import tensorflow as tf

from sortline.client.messages import message
from sortline.client.model_config import read_config_list
from sortline.client.server_status import StatusError, invalid, status_of
from sortline.standin import inference
from sortline.standin.compute import ComputePool
from sortline.standin.loading import Servable
from sortline.standin.monitoring import Monitoring
from sortline.standin.registry import Registry
from sortline.standin.versions import Version

T = TypeVar("T")
_SIGNATURES: Final = "signature_def"
_ANSWERS: Final[Mapping[str, Callable[[Servable, Any], Any]]] = {
    "Predict": inference.predict,
    "Classify": inference.classify,
    "Regress": inference.regress,
}


class Service:
    """All methods of both services, from request message to response message."""

    def __init__(self, registry: Registry, pool: ComputePool, monitoring: Monitoring) -> None:
        self._registry, self._pool, self._monitoring = registry, pool, monitoring

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
            known = name if name in self._registry.catalogue.models else None
            took = time.perf_counter() - start
            self._monitoring.called(known, method, protocol, code, took)

    async def infer(self, method: str, request: Any, deadline: float | None) -> bytes:
        """Predict, Classify or Regress; the serialized response.

        Args:
            method: its name.
            request: of that method.
            deadline: of `time.monotonic`; None for never.

        Raises:
            StatusError: see the table of gRPC errors.
        """

        def work(servable: Servable) -> tuple[Any, bytes]:
            response = _ANSWERS[method](servable, request)
            return response, response.SerializeToString()

        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        return await self.predict_with(request, work, deadline)

    async def predict_with(
        self, request: Any, work: Callable[[Servable], tuple[Any, T]], deadline: float | None
    ) -> T:
        """Compute with the version that a request means, which stays loaded until that is done.

        Args:
            request: of an inference method.
            work: called in a thread; returns the response, and what is made of it.
            deadline: of `time.monotonic`; None for never.

        Raises:
            StatusError: it was refused, by us or by TensorFlow.
        """
        version = self._registry.catalogue.find(request.model_spec)
        servable = version.acquire()
        run = functools.partial(work, servable)
        try:
            response, made = await self._pool.run(run, deadline, done=version.release)
        except tf.errors.OpError as error:
            status = status_of(error)
            raise StatusError(status.code, status.details) from error
        if servable.is_ours:
            self._count_classes(version, request.model_spec.name, response)
        return made

    def _count_classes(self, version: Version, model: str, response: Any) -> None:
        if not {"label", "probabilities"} <= set(response.outputs):
            return
        labels = response.outputs["label"].string_val
        values = response.outputs["probabilities"].float_val
        classes = len(values) // len(labels) if labels else 0
        most = [max(values[i * classes : (i + 1) * classes]) for i in range(len(labels))]
        self._monitoring.predicted(model, version.number, labels, most)

    def metadata(self, request: Any) -> Any:
        """GetModelMetadata.

        Raises:
            StatusError: see the table of gRPC errors.
        """
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _SIGNATURES:
                raise invalid(f"Metadata field {field} is not supported")
        version = self._registry.catalogue.find(request.model_spec)
        servable = version.acquire()
        try:
            return inference.metadata(servable, request)
        finally:
            version.release()

    def status(self, request: Any) -> Any:
        """GetModelStatus.

        Raises:
            StatusError: see the table of gRPC errors.
        """
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        response = message("tensorflow.serving.GetModelStatusResponse")()
        for version in self._registry.catalogue.statuses(request.model_spec):
            response.model_version_status.add(
                version=version.number,
                state=version.state.value,
                status={
                    "error_code": version.status.number,
                    "error_message": version.status.details,
                },
            )
        return response

    async def reload(self, request: Any) -> Any:
        """HandleReloadConfigRequest; returns when everything wanted is available.

        Raises:
            StatusError: see the table of gRPC errors.
        """
        await self._registry.apply(read_config_list(request.config))
        return message("tensorflow.serving.ReloadConfigResponse")(status={"error_code": 0})
