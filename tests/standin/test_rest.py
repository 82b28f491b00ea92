"""REST as TensorFlow Serving's users call it: paths, shapes of JSON, codes."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.served_models import Running

V1 = "/v1/models/default"


@pytest.fixture(scope="module")
def rest(running: Running) -> Iterator[http.client.HTTPConnection]:
    assert running.at.rest is not None
    connection = http.client.HTTPConnection(running.at.rest, timeout=30)
    yield connection
    connection.close()


def call(
    rest: http.client.HTTPConnection, method: str, path: str, body: Any = None
) -> tuple[int, Any]:
    sent = body if isinstance(body, str | bytes | None) else json.dumps(body)
    rest.request(method, path, sent)
    answer = rest.getresponse()
    text = answer.read()
    assert answer.headers.get_content_type() == "application/json"
    return answer.status, json.loads(text)


ANSWERS: list[tuple[str, Any, Any]] = [
    (f"{V1}:predict", {"instances": [1.0, 2.0]}, {"predictions": [2.5, 3.0]}),
    (f"{V1}/versions/123:predict", {"instances": [1]}, {"predictions": [2.5]}),
    (f"{V1}/labels/stable:predict", {"instances": [{"x": 5.0}]}, {"predictions": [4.5]}),
    ("/V1/Models/default:PREDICT", {"instances": [1.0]}, {"predictions": [2.5]}),
    (f"{V1}:predict", {"inputs": [1.0, 0.2]}, {"outputs": [2.5, 2.1]}),
    (f"{V1}:predict", {"inputs": {"x": [1.0]}}, {"outputs": [2.5]}),
    (f"{V1}:predict", {"inputs": 3.0}, {"outputs": 3.5}),
    (f"{V1}:predict", {"inputs": []}, {"outputs": []}),
    (
        f"{V1}:predict",
        {"instances": [[1.0, 2.0], [3.0, 4.0]]},
        {"predictions": [[2.5, 3.0], [3.5, 4.0]]},
    ),
    (
        f"{V1}:predict",
        {"signature_name": "echo", "instances": [{"b64": "/wA="}, "hé"]},
        {
            "predictions": [
                {"key_bytes": {"b64": "/wA="}, "key_text": "\ufffd\0", "size": 2},
                {"key_bytes": {"b64": "aMOp"}, "key_text": "hé", "size": 3},
            ]
        },
    ),
    (
        f"{V1}:predict",
        {"signature_name": "add", "instances": [{"a": 1.5, "b": 2}, {"a": 0.0, "b": -1}]},
        {"predictions": [3.5, -1.0]},
    ),
    (
        f"{V1}:predict",
        {"signature_name": "add", "inputs": {"a": [1.5], "b": [2]}},
        {"outputs": [3.5]},
    ),
]


@pytest.mark.parametrize(("path", "body", "expected"), ANSWERS)
def test_predictions_have_the_shape_that_the_request_asked_for(
    rest: http.client.HTTPConnection, path: str, body: Any, expected: Any
) -> None:
    assert call(rest, "POST", path, body) == (200, expected)


def test_numbers_that_are_none_travel(rest: http.client.HTTPConnection) -> None:
    rest.request("POST", f"{V1}:predict", '{"instances": [NaN, Infinity, -Infinity]}')
    text = rest.getresponse().read().decode()
    assert [word.strip(",") for word in text.split()[3:6]] == ["NaN", "Infinity", "-Infinity"]


REFUSALS: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/v1/foo", {}, 400, "Malformed request: POST /v1/foo"),
    ("GET", f"{V1}:predict", None, 400, f"Malformed request: GET {V1}:predict"),
    ("POST", V1, {}, 400, f"Malformed request: POST {V1}"),
    ("GET", "/elsewhere", None, 404, "Malformed request: GET /elsewhere"),
    ("GET", "/v1/models", None, 400, "Missing model name in request."),
    ("POST", f"{V1}:predict", "", 400, "JSON Parse error: The document is empty"),
    ("POST", f"{V1}:predict", "{", 400, "JSON Parse error: "),
    ("POST", f"{V1}:predict", "[" * 100_000, 400, "JSON Parse error: "),
    ("POST", f"{V1}:predict", b"\xff\xfe{", 400, "JSON Parse error: "),
    ("POST", f"{V1}:predict", "[1]", 400, "Is not object"),
    ("POST", f"{V1}:predict", {"signature_name": 1, "inputs": 1}, 400, "must be a string"),
    (
        "POST",
        f"{V1}:predict",
        {"signature_name": "s", "inputs": 1},
        400,
        'Serving signature name: "s" not found in signature def',
    ),
    ("POST", f"{V1}:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
    ("POST", f"{V1}:predict", {"inputs": 1, "instances": [1]}, 400, "only one of"),
    ("POST", f"{V1}:predict", {"instances": 1}, 400, "to be an list/array"),
    ("POST", f"{V1}:predict", {"instances": []}, 400, "No values in 'instances' array"),
    ("POST", f"{V1}:predict", {"instances": [{"z": 1.0}]}, 400, "keys must be equal to: x"),
    ("POST", f"{V1}:predict", {"instances": [{"x": 1}, 2]}, 400, "Expecting object but got list"),
    ("POST", f"{V1}:predict", {"inputs": {"z": 1.0}}, 400, "Missing named input: x"),
    ("POST", f"{V1}:predict", {"instances": ["a"]}, 400, "is not of expected type: float"),
    ("POST", f"{V1}:predict", {"instances": [True]}, 400, "Type: True is not of expected type"),
    ("POST", f"{V1}:predict", {"instances": [1e39]}, 400, "without loss of precision"),
    ("POST", f"{V1}:predict", {"instances": [[1.0], [1.0, 2.0]]}, 400, "unexpected size: 2"),
    ("POST", f"{V1}:predict", {"instances": [1.0, [1.0]]}, 400, "at unexpected level"),
    ("POST", f"{V1}:predict", {"instances": [[1.0], 1.0]}, 400, "found at incorrect level"),
    (
        "POST",
        f"{V1}:predict",
        {"signature_name": "echo", "inputs": [{"b64": "*"}]},
        400,
        "Unable to base64 decode",
    ),
    (
        "POST",
        f"{V1}:predict",
        {"signature_name": "add", "instances": [1.0]},
        400,
        "expecting list of objects as multiple input tensors required",
    ),
    (
        "POST",
        f"{V1}:predict",
        {"signature_name": "add", "inputs": {"a": [1.0], "b": [2**63]}},
        400,
        "does not fit int64",
    ),
    (
        "POST",
        f"{V1}:predict",
        {"signature_name": "add", "inputs": {"a": [1.0, 2.0, 3.0], "b": [1, 2]}},
        400,
        "",
    ),
    ("POST", f"{V1}:predict", {"instances": 1.0}, 400, "to be an list/array"),
    (
        "POST",
        "/v1/models/no:predict",
        {"inputs": 1.0},
        404,
        "Servable not found for request: Latest(no)",
    ),
    (
        "POST",
        f"{V1}/versions/9:predict",
        {"inputs": 1.0},
        404,
        "Servable not found for request: Specific(default, 9)",
    ),
    ("POST", f"{V1}/versions/{2**63}:predict", {}, 400, "Failed to convert version"),
    (
        "POST",
        f"{V1}/labels/L:predict",
        {"inputs": 1},
        400,
        "Unrecognized servable version label",
    ),
    ("POST", f"{V1}:classify", {}, 501, "by gRPC only"),
    ("GET", "/v1/models/no", None, 404, "Could not find any versions of model no"),
    ("GET", f"{V1}/versions/9", None, 404, "Could not find version 9 of model default"),
    ("GET", "/v1/models/no/metadata", None, 404, "Servable not found for request: Latest(no)"),
    ("DELETE", f"{V1}", None, 400, "Malformed request: DELETE"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "said"), REFUSALS)
def test_errors_are_json_with_the_real_servers_code(
    rest: http.client.HTTPConnection, method: str, path: str, body: Any, status: int, said: str
) -> None:
    found, answer = call(rest, method, path, body)
    assert (found, list(answer)) == (status, ["error"])
    assert said in answer["error"]


def test_a_scalar_answer_has_no_rows(rest: http.client.HTTPConnection, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(9))
    asked: dict[str, Any] = {"signature_name": "read", "inputs": str(file)}
    assert call(rest, "POST", f"{V1}:predict", asked) == (200, {"outputs": 9})
    asked = {"signature_name": "read", "instances": [str(file)]}
    assert call(rest, "POST", f"{V1}:predict", asked)[0] == 400
    asked = {"signature_name": "read", "inputs": str(tmp_path / "none")}
    assert call(rest, "POST", f"{V1}:predict", asked)[0] == 404


@pytest.mark.parametrize("path", [V1, f"{V1}/versions/123", f"{V1}/labels/stable", V1.upper()])
def test_status_has_the_real_servers_shape(rest: http.client.HTTPConnection, path: str) -> None:
    path = path.replace("DEFAULT", "default")
    entry: dict[str, Any] = {
        "version": "123",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    assert call(rest, "GET", path) == (200, {"model_version_status": [entry]})


def test_metadata_has_the_real_servers_shape(rest: http.client.HTTPConnection) -> None:
    status, found = call(rest, "GET", f"{V1}/metadata")
    assert status == 200
    assert found["model_spec"] == {"name": "default", "signature_name": "", "version": "123"}
    default = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert default["method_name"] == "tensorflow/serving/predict"
    assert default["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert default["inputs"]["x"]["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}],
        "unknown_rank": False,
    }


def test_a_body_larger_than_the_limit_is_refused_and_the_connection_lives(
    rest: http.client.HTTPConnection,
) -> None:
    status, answer = call(rest, "POST", f"{V1}:predict", b" " * (65 << 20))
    assert (status, list(answer)) == (413, ["error"])
    assert call(rest, "POST", f"{V1}:predict", {"inputs": 2.0}) == (200, {"outputs": 3.0})
