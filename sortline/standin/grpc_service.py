"""The gRPC server: PredictionService and ModelService on grpc.aio.

Messages are parsed here and not by gRPC, which would call bytes that are no message UNKNOWN.
"""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from sortline.client.messages import MODEL_SERVICE, PREDICTION_SERVICE, methods_of
from sortline.client.server_status import DEFECT, Status, StatusError, status_of
from sortline.standin.service import Service

if TYPE_CHECKING:  # These take parameters in the stubs only.
    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]

Answer = Callable[[Any, float | None], Awaitable[bytes]]


def _deadline(context: "Context") -> float | None:
    left = context.time_remaining()
    return None if left is None else time.monotonic() + left


async def _refuse(context: "Context", failed: Status) -> NoReturn:
    await context.abort(failed.code, failed.details)
    raise AssertionError("abort always raises")


def _unary(service: str, name: str, answer: Answer) -> "Handler":
    request_class, _ = methods_of(service)[name]

    async def handle(data: bytes, context: "Context") -> bytes:
        try:
            return await answer(request_class.FromString(data), _deadline(context))
        except DecodeError:
            text = f"The request is no {request_class.DESCRIPTOR.full_name}."
            failed = Status(grpc.StatusCode.INTERNAL, text)
        except StatusError as error:
            failed = status_of(error)
        except Exception:
            traceback.print_exc()
            failed = DEFECT
        return await _refuse(context, failed)

    return grpc.unary_unary_rpc_method_handler(handle)


def _inferring(service: Service, method: str) -> Answer:
    async def answer(request: Any, deadline: float | None) -> bytes:
        async with service.counted("GRPC", method, request):
            return await service.infer(method, request, deadline)

    return answer


def _at_once(call: Callable[[Any], Any]) -> Answer:
    async def answer(request: Any, _: float | None) -> bytes:
        return bytes(call(request).SerializeToString())

    return answer


def _reloading(service: Service) -> Answer:
    async def answer(request: Any, _: float | None) -> bytes:
        # A client that leaves must not leave half of a config list behind.
        task = asyncio.ensure_future(service.reload(request))
        task.add_done_callback(lambda each: each.cancelled() or each.exception())
        return bytes((await asyncio.shield(task)).SerializeToString())

    return answer


def handlers(service: Service) -> list[grpc.GenericRpcHandler]:
    """Both services, ready to be added to a server."""
    prediction = {name: _inferring(service, name) for name in ("Predict", "Classify", "Regress")}
    prediction["GetModelMetadata"] = _at_once(service.metadata)
    model = {
        "GetModelStatus": _at_once(service.status),
        "HandleReloadConfigRequest": _reloading(service),
    }
    return [
        grpc.method_handlers_generic_handler(
            name, {method: _unary(name, method, answer) for method, answer in methods.items()}
        )
        for name, methods in ((PREDICTION_SERVICE, prediction), (MODEL_SERVICE, model))
    ]
