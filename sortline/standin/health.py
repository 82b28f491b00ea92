"""grpc.health.v1: what orchestrators ask before they send anybody here.

The server as a whole ("") and both services are SERVING while every model of the config list has a
version that serves.
"""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio

from sortline.client.messages import (
    HEALTH,
    MODEL_SERVICE,
    PREDICTION_SERVICE,
    methods_of,
)
from sortline.standin.registry import Registry

if TYPE_CHECKING:  # It takes parameters in the stubs only.
    Context = grpc.aio.ServicerContext[Any, Any]

_SERVING: Final = 1
_NOT_SERVING: Final = 2
_SERVICE_UNKNOWN: Final = 3
_KNOWN: Final = ("", PREDICTION_SERVICE, MODEL_SERVICE, HEALTH)


def _state(registry: Registry, service: str) -> int:
    if service not in _KNOWN:
        return _SERVICE_UNKNOWN
    return _SERVING if registry.catalogue.ready else _NOT_SERVING


def health_handler(registry: Registry) -> grpc.GenericRpcHandler:
    """The service, ready to be added to a server."""
    request_class, response_class = methods_of(HEALTH)["Check"]

    async def check(request: Any, context: "Context") -> Any:
        state = _state(registry, request.service)
        if state == _SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"unknown service {request.service}")
        return response_class(status=state)

    async def watch(request: Any, _: "Context") -> AsyncIterator[Any]:
        changed, last = registry.watch(), None
        try:
            while not registry.stopping:
                changed.clear()
                if (state := _state(registry, request.service)) != last:
                    last = state
                    yield response_class(status=state)
                await changed.wait()
        finally:
            registry.unwatch(changed)

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
