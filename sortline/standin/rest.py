"""The REST server: predict, status and metadata, and the metrics."""

import asyncio
import json
import re
import time
import traceback
from collections.abc import Mapping
from typing import Any, Final

import grpc
from aiohttp import web
from google.protobuf.json_format import MessageToDict

from sortline.client.messages import message
from sortline.client.server_status import DEFECT, StatusError, invalid
from sortline.client.tensors import from_proto
from sortline.model.contract import SERVING_DEFAULT
from sortline.standin import inference, json_answers, json_tensors
from sortline.standin.loading import Servable
from sortline.standin.monitoring import CONTENT_TYPE, Monitoring
from sortline.standin.service import Service

_TIMEOUT_S: Final = 30.0  # The real server's default.
_NAMED: Final = (
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
)
_INFER: Final = re.compile(_NAMED + r":(?P<method>predict|classify|regress)", re.IGNORECASE)
_LOOK: Final = re.compile(_NAMED + r"(?P<metadata>/metadata)?", re.IGNORECASE)
_NO_NAME: Final = re.compile(r"/v1/models/?", re.IGNORECASE)
_API: Final = re.compile(r"/v1/.*", re.IGNORECASE | re.DOTALL)
_CODES: Final = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(
        text=json.dumps(value, indent=2), status=status, content_type="application/json"
    )


def _failed(error: StatusError) -> web.Response:
    return _json({"error": error.details}, _CODES.get(error.code, 500))


def _fill_spec(spec: Any, parts: Mapping[str, str | None]) -> None:
    spec.name = parts["name"]
    if version := parts["version"]:
        if int(version) >= 2**63:
            raise invalid(f"Failed to convert version: {version} to numeric.")
        spec.version.value = int(version)
    if label := parts["label"]:
        spec.version_label = label


def _as_dict(proto: Any) -> dict[str, Any]:
    return MessageToDict(
        proto, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


class RestServer:
    """An aiohttp application over a service.

    Args:
        service: what answers.
        monitoring: its metrics.
        metrics_path: where they are shown; None: nowhere.
        max_bytes: of a request's body.
    """

    def __init__(
        self, service: Service, monitoring: Monitoring, metrics_path: str | None, max_bytes: int
    ) -> None:
        self._service, self._monitoring = service, monitoring
        self._metrics_path = metrics_path
        self.application = web.Application(client_max_size=max_bytes)
        self.application.router.add_route("*", "/{path:.*}", self._handle)

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            return await self._route(request)
        except StatusError as error:
            return _failed(error)
        except web.HTTPRequestEntityTooLarge as error:
            return _json({"error": f"The request is too large: {error.text}"}, 413)
        except Exception:
            traceback.print_exc()
            return _json({"error": DEFECT.details}, 500)

    async def _route(self, request: web.Request) -> web.Response:
        path, method = request.path, request.method
        if method == "GET" and path == self._metrics_path:
            page = self._monitoring.page()
            return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE})
        if method == "POST" and (match := _INFER.fullmatch(path)):
            return await self._infer(match.groupdict(), await request.read())
        if method == "GET" and (match := _LOOK.fullmatch(path)):
            return self._look(match.groupdict())
        if method == "GET" and _NO_NAME.fullmatch(path):
            raise invalid("Missing model name in request.")
        malformed = f"Malformed request: {method} {path}"
        if _API.fullmatch(path):
            raise invalid(malformed)
        raise StatusError(grpc.StatusCode.NOT_FOUND, malformed)

    def _look(self, parts: Mapping[str, str | None]) -> web.Response:
        if not parts["metadata"]:
            status = message("tensorflow.serving.GetModelStatusRequest")()
            _fill_spec(status.model_spec, parts)
            return _json(_as_dict(self._service.status(status)))
        request = message("tensorflow.serving.GetModelMetadataRequest")()
        request.metadata_field.append("signature_def")
        _fill_spec(request.model_spec, parts)
        found = self._service.metadata(request)
        signatures = message("tensorflow.serving.SignatureDefMap")()
        found.metadata["signature_def"].Unpack(signatures)
        spec = {"signature_name": "", **_as_dict(found.model_spec)}
        return _json({"model_spec": spec, "metadata": {"signature_def": _as_dict(signatures)}})

    async def _infer(self, parts: Mapping[str, str | None], body: bytes) -> web.Response:
        if str(parts["method"]).lower() != "predict":
            raise StatusError(
                grpc.StatusCode.UNIMPLEMENTED,
                f"This stand-in takes {parts['method']} by gRPC only; the real server by REST too.",
            )
        request = message("tensorflow.serving.PredictRequest")()
        _fill_spec(request.model_spec, parts)
        deadline = time.monotonic() + _TIMEOUT_S
        async with self._service.counted("REST", "Predict", request):
            return await self._predict(request, body, deadline)

    async def _predict(self, request: Any, body: bytes, deadline: float) -> web.Response:
        # Large bodies take their time to parse, and the event loop has others to see to.
        asked = await asyncio.to_thread(json_tensors.parse_object, body)
        name = asked.get("signature_name", "")
        if not isinstance(name, str):
            raise invalid(
                "JSON Value not formatted correctly. 'signature_name' key must be a string"
            )
        request.model_spec.signature_name = name
        given = {"instances", "inputs"} & asked.keys()
        if not given:
            raise invalid("Missing 'inputs' or 'instances' key")
        if len(given) == 2:
            raise invalid("Expecting only one of 'inputs' or 'instances' keys to exist")

        def work(servable: Servable) -> tuple[Any, str]:
            _fill_inputs(servable, asked, request)
            response = inference.predict(servable, request)
            return response, _answer(response, by_row="instances" in asked)

        text: str = await self._service.predict_with(request, work, deadline)
        return web.Response(text=text, content_type="application/json")


def _fill_inputs(servable: Servable, asked: Mapping[str, Any], request: Any) -> None:
    name = request.model_spec.signature_name or SERVING_DEFAULT
    if name not in servable.signatures:
        raise invalid(f'Serving signature name: "{name}" not found in signature def')
    infos = servable.signatures[name].inputs
    dtypes = {key: infos[key].dtype for key in sorted(infos)}
    if not dtypes:
        raise invalid(f"Failed to get input map for signature: {name}")
    if "instances" in asked:
        json_tensors.fill_instances(asked["instances"], dtypes, request.inputs)
    else:
        json_tensors.fill_inputs(asked["inputs"], dtypes, request.inputs)


def _answer(response: Any, *, by_row: bool) -> str:
    outputs = {name: from_proto(response.outputs[name]) for name in sorted(response.outputs)}
    if by_row:
        return json.dumps({"predictions": json_answers.rows(outputs)}, indent=2)
    return json.dumps({"outputs": json_answers.columns(outputs)}, indent=2)
