"""Ask a running server about images, through gRPC and through REST."""

import base64
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any

import grpc

from sortline.client import rpc
from sortline.client.messages import PREDICTION_SERVICE
from sortline.client.tensors import from_proto
from sortline.core.errors import ServingError
from sortline.serving.assembly import predict_request
from sortline.serving.local_server import LOOPBACK, RunningServer


@dataclass(frozen=True)
class Answered:
    """What the server says of one image; `version` is None where the protocol does not tell.

    Attributes:
        door: gRPC or REST.
        probabilities: in the order of the class ids.
    """

    door: str
    label: str
    probabilities: tuple[float, ...]
    version: int | None


def _left(deadline: float, target: str) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise ServingError("DEADLINE_EXCEEDED", target, f"{target} did not answer in time.")
    return left


def ask_grpc(
    server: RunningServer, model: str, images: Iterable[bytes], deadline: float
) -> Iterator[Answered]:
    """Answers to files, one request each.

    Args:
        server: that runs.
        model: its name there.
        images: files by their bytes.
        deadline: of `time.monotonic`, for all of them.

    Raises:
        ServingError: there is no answer, or it is none of a model of ours.
    """
    with rpc.open_channel(server.grpc, options=LOOPBACK) as channel:
        call = rpc.method(channel, PREDICTION_SERVICE, "Predict")
        for image in images:
            request = predict_request([image], model)
            try:
                response = call(request, timeout=_left(deadline, server.grpc))
            except grpc.RpcError as error:
                raise rpc.explained(error, server.grpc) from error
            yield _read_response(response, server.grpc)


def _read_response(response: Any, target: str) -> Answered:
    try:
        label = from_proto(response.outputs["label"])[0].decode()
        probabilities = from_proto(response.outputs["probabilities"])[0].tolist()
    except (IndexError, ValueError) as error:
        raise _nonsense(target, error) from error
    return Answered("gRPC", label, tuple(probabilities), response.model_spec.version.value)


def _nonsense(target: str, seen: object) -> ServingError:
    text = f"{target} answers with something else than a label and probabilities: {seen}"
    return ServingError("INTERNAL", target, text)


def ask_rest(
    server: RunningServer, model: str, images: Iterable[bytes], deadline: float
) -> Iterator[Answered]:
    """The same through REST, the files as base64.

    Raises:
        ServingError: there is no answer, or it is none of a model of ours.
    """
    for image in images:
        instance = {"image_bytes": {"b64": base64.b64encode(image).decode()}}
        body = json.dumps({"instances": [instance]})
        status, text = _post(server.rest, model, body, _left(deadline, server.rest))
        if status != 200:
            code = f"HTTP {status}"
            raise ServingError("UNKNOWN", server.rest, f"{server.rest}: {code}: {text[:500]}")
        yield _read_json(text, server.rest)


def _post(target: str, model: str, body: str, timeout_s: float) -> tuple[int, str]:
    # http.client and not urllib: a proxy of the environment has no business here.
    connection = HTTPConnection(target, timeout=timeout_s)
    try:
        connection.request("POST", f"/v1/models/{model}:predict", body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        raise ServingError("UNAVAILABLE", target, f"{target} (REST): {error}") from error
    finally:
        connection.close()


def _read_json(text: str, target: str) -> Answered:
    try:
        row = json.loads(text)["predictions"][0]
        return Answered("REST", row["label"], tuple(map(float, row["probabilities"])), None)
    except (ValueError, TypeError, LookupError) as error:
        raise _nonsense(target, text[:500]) from error
