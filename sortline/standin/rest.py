"""The REST server: predict, status and metadata, and the metrics."""

import asyncio
import functools
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
from sortline.standin import rest_json
from sortline.standin.inference import Servable, predict
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
_HTTP_CODES: Final = {
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


_json = functools.partial(json.dumps, indent=2)
_as_dict = functools.partial(
    MessageToDict, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
)


def _request(kind: str, parts: Mapping[str, str | None]) -> Any:
    """An empty request to the version that a path names."""
    request = message(f"tensorflow.serving.{kind}")()
    request.model_spec.name = parts["name"]
    if version := parts["version"]:
        if int(version) >= 2**63:
            raise invalid(f"Failed to convert version: {version} to numeric.")
        request.model_spec.version.value = int(version)
    if label := parts["label"]:
        request.model_spec.version_label = label
    return request


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
        if request.method == "GET" and request.path == self._metrics_path:
            page = self._monitoring.page()
            return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE})
        status = 200
        try:
            text = await self._answer(request)
        except StatusError as error:
            status, text = _HTTP_CODES.get(error.code, 500), _json({"error": error.details})
        except web.HTTPRequestEntityTooLarge as error:
            status, text = 413, _json({"error": f"The request is too large: {error.text}"})
        except Exception:
            traceback.print_exc()
            status, text = 500, _json({"error": DEFECT.details})
        return web.Response(text=text, status=status, content_type="application/json")

    async def _answer(self, request: web.Request) -> str:
        path, method = request.path, request.method
        if method == "POST" and (match := _INFER.fullmatch(path)):
            return await self._infer(match.groupdict(), await request.read())
        if method == "GET" and (match := _LOOK.fullmatch(path)):
            look = self._metadata if match["metadata"] else self._status
            return await look(match.groupdict())
        if method == "GET" and _NO_NAME.fullmatch(path):
            raise invalid("Missing model name in request.")
        malformed = f"Malformed request: {method} {path}"
        if _API.fullmatch(path):
            raise invalid(malformed)
        raise StatusError(grpc.StatusCode.NOT_FOUND, malformed)

    async def _status(self, parts: Mapping[str, str | None]) -> str:
        request = _request("GetModelStatusRequest", parts)
        return _json(_as_dict(await self._service.status(request)))

    async def _metadata(self, parts: Mapping[str, str | None]) -> str:
        request = _request("GetModelMetadataRequest", parts)
        request.metadata_field.append("signature_def")
        response = await self._service.metadata(request)
        signatures = message("tensorflow.serving.SignatureDefMap")()
        response.metadata["signature_def"].Unpack(signatures)
        spec = {"signature_name": "", **_as_dict(response.model_spec)}
        return _json({"model_spec": spec, "metadata": {"signature_def": _as_dict(signatures)}})

    async def _infer(self, parts: Mapping[str, str | None], body: bytes) -> str:
        if str(parts["method"]).lower() != "predict":
            text = (
                f"This stand-in takes {parts['method']} by gRPC only; the real server by REST too."
            )
            raise StatusError(grpc.StatusCode.UNIMPLEMENTED, text)
        request = _request("PredictRequest", parts)
        deadline = time.monotonic() + _TIMEOUT_S
        async with self._service.counted("REST", "Predict", request):
            # Large bodies take their time to parse, and the event loop has others to see to.
            asked = await asyncio.to_thread(rest_json.parse_object, body)
            name = asked.get("signature_name", "")
            if not isinstance(name, str):
                raise invalid(
                    "JSON Value not formatted correctly. 'signature_name' key must be a string"
                )
            request.model_spec.signature_name = name
            kinds = {"instances", "inputs"} & asked.keys()
            if not kinds:
                raise invalid("Missing 'inputs' or 'instances' key")
            if len(kinds) == 2:
                raise invalid("Expecting only one of 'inputs' or 'instances' keys to exist")
            work = functools.partial(_predict, asked, request)
            return await self._service.predict_with(request, work, deadline)


def _predict(asked: Mapping[str, Any], request: Any, servable: Servable) -> tuple[Any, str]:
    """The response to a body that was parsed, and its JSON."""
    name = request.model_spec.signature_name or SERVING_DEFAULT
    if name not in servable.signatures:
        raise invalid(f'Serving signature name: "{name}" not found in signature def')
    infos = servable.signatures[name].inputs
    dtypes = {key: infos[key].dtype for key in sorted(infos)}
    if not dtypes:
        raise invalid(f"Failed to get input map for signature: {name}")
    if "instances" in asked:
        rest_json.fill_instances(asked["instances"], dtypes, request.inputs)
    else:
        rest_json.fill_inputs(asked["inputs"], dtypes, request.inputs)
    response = predict(servable, request)
    outputs = {name: from_proto(response.outputs[name]) for name in sorted(response.outputs)}
    if "instances" in asked:
        return response, _json({"predictions": rest_json.answer_rows(outputs)})
    return response, _json({"outputs": rest_json.answer_columns(outputs)})
