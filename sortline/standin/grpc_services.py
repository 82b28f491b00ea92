"""The gRPC services on grpc.aio: PredictionService, ModelService and grpc.health.v1.

Messages of the first two are parsed here and not by gRPC, which would call bytes that are no
message UNKNOWN. Health is what orchestrators ask before they send anybody here: the server as a
whole ("") and each service are SERVING while every model of the config list has a version that
serves.
"""

import asyncio
import functools
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from sortline.client.messages import HEALTH, MODEL_SERVICE, PREDICTION_SERVICE, methods_of
from sortline.client.server_status import DEFECT, Status, StatusError, status_of
from sortline.standin.inference import INFERENCE
from sortline.standin.registry import Registry
from sortline.standin.service import Service

if TYPE_CHECKING:  # These take parameters in the stubs only.
    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]

_SERVING: Final = 1
_NOT_SERVING: Final = 2
_SERVICE_UNKNOWN: Final = 3


def handlers(service: Service, registry: Registry) -> list[grpc.GenericRpcHandler]:
    """All services, ready to be added to a server."""
    answers: dict[str, Callable[[Any, float | None], Awaitable[Any]]] = {
        **{name: functools.partial(service.infer, name) for name in INFERENCE},
        "GetModelMetadata": lambda request, _: service.metadata(request),
        "GetModelStatus": lambda request, _: service.status(request),
        "HandleReloadConfigRequest": lambda request, _: service.reload(request),
    }

    def unary(name: str, request_class: Any) -> "Handler":
        async def handle(data: bytes, context: "Context") -> bytes:
            left = context.time_remaining()
            deadline = None if left is None else time.monotonic() + left
            try:
                answer = await answers[name](request_class.FromString(data), deadline)
                return answer if isinstance(answer, bytes) else bytes(answer.SerializeToString())
            except DecodeError:
                text = f"The request is no {request_class.DESCRIPTOR.full_name}."
                failed = Status(grpc.StatusCode.INTERNAL, text)
            except StatusError as error:
                failed = status_of(error)
            except Exception:
                traceback.print_exc()
                failed = DEFECT
            await context.abort(failed.code, failed.details)
            raise AssertionError("abort always raises")

        return grpc.unary_unary_rpc_method_handler(handle)

    services = [_health(registry)]
    for name in (PREDICTION_SERVICE, MODEL_SERVICE):
        methods = {
            method: unary(method, request_class)
            for method, (request_class, _) in methods_of(name).items()
            if method in answers
        }
        services.append(grpc.method_handlers_generic_handler(name, methods))
    return services


def _health(registry: Registry) -> grpc.GenericRpcHandler:
    request_class, response_class = methods_of(HEALTH)["Check"]

    def state(service: str) -> int:
        if service not in ("", PREDICTION_SERVICE, MODEL_SERVICE, HEALTH):
            return _SERVICE_UNKNOWN
        return _SERVING if registry.catalogue.ready else _NOT_SERVING

    async def check(request: Any, context: "Context") -> Any:
        status = state(request.service)
        if status == _SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"unknown service {request.service}")
        return response_class(status=status)

    async def watch(request: Any, _: "Context") -> AsyncIterator[Any]:
        changed, last = asyncio.Event(), None
        registry.watchers.add(changed)
        try:
            while not registry.stopping:
                changed.clear()
                if (status := state(request.service)) != last:
                    last = status
                    yield response_class(status=status)
                await changed.wait()
        finally:
            registry.watchers.discard(changed)

    kinds = {
        "request_deserializer": request_class.FromString,
        "response_serializer": response_class.SerializeToString,
    }
    return grpc.method_handlers_generic_handler(
        HEALTH,
        {
            "Check": grpc.unary_unary_rpc_method_handler(check, **kinds),
            "Watch": grpc.unary_stream_rpc_method_handler(watch, **kinds),
        },
    )
