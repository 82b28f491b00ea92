"""Every row of the table of gRPC errors, over a real connection."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from helpers.served_models import Client, floats, refusal

from sortline.client.messages import MODEL_SERVICE, PREDICTION_SERVICE
from sortline.client.tensors import to_proto

P, M = PREDICTION_SERVICE, MODEL_SERVICE
DEFAULT = {"name": "default"}
EXAMPLES = {"name": "examples"}
ONE = to_proto(floats(1.0))
TEXT = to_proto([b"one"])
EXAMPLE = {"features": {"feature": {"x": {"float_list": {"value": [2.0]}}}}}
INPUT = {"example_list": {"examples": [EXAMPLE]}}


def spec(name: str = "default", **more: Any) -> dict[str, Any]:
    return {"name": name, **more}


NO_INPUTS: list[dict[str, Any]] = [
    {},
    {"example_list": {}},
    {"example_list_with_context": {"context": EXAMPLE}},
]
SIGNED = {"model_spec": spec(signature_name="nope"), "inputs": {"x": ONE}}
FIELD = {"metadata_field": ["signature_def"]}
ROWS: list[tuple[str, str, dict[str, Any], str, str]] = [
    (P, "Predict", {}, "INVALID_ARGUMENT", "Missing ModelSpec"),
    (P, "GetModelMetadata", FIELD, "INVALID_ARGUMENT", "Missing ModelSpec"),
    (M, "GetModelStatus", {}, "INVALID_ARGUMENT", "Missing ModelSpec"),
    *(
        (service, name, {"model_spec": given, **more}, code, said)
        for service, name, more in (
            (P, "Predict", {"inputs": {"x": ONE}}),
            (P, "Classify", {"input": INPUT}),
            (P, "Regress", {"input": INPUT}),
            (P, "GetModelMetadata", FIELD),
        )
        for given, code, said in (
            ({}, "INVALID_ARGUMENT", "ModelSpec has no name specified."),
            (spec("nope"), "NOT_FOUND", "Servable not found for request: Latest(nope)"),
            (
                spec(version={"value": 99}),
                "NOT_FOUND",
                "Servable not found for request: Specific(default, 99)",
            ),
            (
                spec(version_label="L"),
                "INVALID_ARGUMENT",
                "Unrecognized servable version label: L",
            ),
        )
    ),
    (
        M,
        "GetModelStatus",
        {"model_spec": {}},
        "INVALID_ARGUMENT",
        "ModelSpec has no name specified",
    ),
    (
        M,
        "GetModelStatus",
        {"model_spec": spec("nope")},
        "NOT_FOUND",
        "Could not find any versions of model nope",
    ),
    (
        M,
        "GetModelStatus",
        {"model_spec": spec(version={"value": 9})},
        "NOT_FOUND",
        "Could not find version 9 of model default",
    ),
    (P, "Predict", SIGNED, "FAILED_PRECONDITION", 'Serving signature key "nope" not found.'),
    (
        P,
        "Classify",
        {"model_spec": spec("examples", signature_name="nope"), "input": INPUT},
        "INVALID_ARGUMENT",
        "No signature was found with the name: nope",
    ),
    (
        P,
        "Classify",
        {"model_spec": EXAMPLES, "input": INPUT},
        "INVALID_ARGUMENT",
        "Expected classification signature method_name to be tensorflow/serving/classify. Was: "
        "tensorflow/serving/predict",
    ),
    (
        P,
        "Regress",
        {"model_spec": spec("examples", signature_name="classify"), "input": INPUT},
        "INVALID_ARGUMENT",
        "Expected regression signature method_name to be tensorflow/serving/regress. Was: ",
    ),
    *(
        (
            P,
            name,
            {"model_spec": spec("examples", signature_name=name.lower()), "input": given},
            "INVALID_ARGUMENT",
            "Input is empty",
        )
        for name in ("Classify", "Regress")
        for given in NO_INPUTS
    ),
    (
        P,
        "Predict",
        {"model_spec": DEFAULT},
        "INVALID_ARGUMENT",
        "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but"
        " required: {x}.",
    ),
    (
        P,
        "Predict",
        {"model_spec": DEFAULT, "inputs": {"x": ONE, "z": ONE, "a": ONE}},
        "INVALID_ARGUMENT",
        "input size does not match signature: 3!=1 len({a,x,z}) != len({x}). Sent extra: {a,z}."
        " Missing but required: {}.",
    ),
    (
        P,
        "Predict",
        {"model_spec": DEFAULT, "inputs": {"z": ONE}},
        "INVALID_ARGUMENT",
        "input tensor alias not found in signature: z. Inputs expected to be in the set {x}.",
    ),
    (
        P,
        "Predict",
        {"model_spec": DEFAULT, "inputs": {"x": TEXT}},
        "INVALID_ARGUMENT",
        "to be float but string is provided",
    ),
    (
        P,
        "Predict",
        {"model_spec": DEFAULT, "inputs": {"x": ONE}, "output_filter": ["F"]},
        "INVALID_ARGUMENT",
        "output tensor alias not found in signature: F Outputs expected to be in the set {y}.",
    ),
    (
        P,
        "Predict",
        {"model_spec": DEFAULT, "inputs": {"x": ONE}, "output_filter": ["y", "y"]},
        "INVALID_ARGUMENT",
        "duplicate output tensor alias: y",
    ),
    (
        P,
        "GetModelMetadata",
        {"model_spec": DEFAULT},
        "INVALID_ARGUMENT",
        "GetModelMetadataRequest must specify at least one metadata_field",
    ),
    (
        P,
        "GetModelMetadata",
        {"model_spec": DEFAULT, "metadata_field": ["signature_def", "F"]},
        "INVALID_ARGUMENT",
        "Metadata field F is not supported",
    ),
    (
        M,
        "HandleReloadConfigRequest",
        {"config": {"custom_model_config": {}}},
        "INVALID_ARGUMENT",
        "Only ModelConfigList is currently supported",
    ),
    (
        M,
        "HandleReloadConfigRequest",
        {"config": {}},
        "INVALID_ARGUMENT",
        "Only ModelConfigList is currently supported",
    ),
    (
        M,
        "HandleReloadConfigRequest",
        {"config": {"model_config_list": {"config": [{"name": "m", "base_path": "/m"}] * 2}}},
        "INVALID_ARGUMENT",
        "Illegal to list model m multiple times in config list",
    ),
    (
        M,
        "HandleReloadConfigRequest",
        {
            "config": {
                "model_config_list": {
                    "config": [
                        {"name": "default", "base_path": "/m", "version_labels": {"stable": 7}}
                    ]
                }
            }
        },
        "FAILED_PRECONDITION",
        "Request to assign label to version 7 of model default, which is not currently available"
        " for inference",
    ),
]


@pytest.mark.parametrize(("service", "name", "fields", "code", "said"), ROWS)
def test_codes_and_texts_of_errors_are_those_of_the_real_server(
    client: Client, service: str, name: str, fields: dict[str, Any], code: str, said: str
) -> None:
    with pytest.raises(grpc.RpcError) as error:
        client.ask(service, name, **fields)
    found = refusal(error.value)
    assert found[0] == code
    assert said in found[1]


LYING = [
    pytest.param(
        {"dtype": 1, "tensor_shape": {"dim": [{"size": 3}]}, "float_val": [1.0] * 4}, id="more"
    ),
    pytest.param({"dtype": 1, "tensor_shape": {"dim": [{"size": -1}]}}, id="negative"),
    pytest.param({"dtype": 1, "tensor_shape": {"dim": [{"size": 1 << 62}] * 3}}, id="huge"),
    pytest.param(
        {"dtype": 1, "tensor_shape": {"dim": [{"size": 1 << 62}, {"size": 0}]}}, id="zero"
    ),
    pytest.param({"dtype": 1, "tensor_shape": {"dim": [{"size": 1}] * 300}}, id="rank"),
    pytest.param({"dtype": 1, "tensor_shape": {"unknown_rank": True}}, id="no rank"),
    pytest.param({"dtype": 1, "tensor_content": b"123", "tensor_shape": {}}, id="content"),
    pytest.param({"dtype": 0}, id="no type"),
    pytest.param({"dtype": 9999}, id="unknown type"),
]


@pytest.mark.parametrize("tensor", LYING)
def test_a_tensor_that_lies_about_itself_is_refused_and_nobody_else_notices(
    client: Client, tensor: dict[str, Any]
) -> None:
    with pytest.raises(grpc.RpcError) as error:
        client.ask(P, "Predict", model_spec=DEFAULT, inputs={"x": tensor})
    assert refusal(error.value)[0] == "INVALID_ARGUMENT"
    assert client.half_plus(2.0) == 3.0


@pytest.mark.parametrize(
    ("images", "sizes"),
    [
        ([], [20_000]),
        ([b"x"], [1_000_000]),
        ([b"x", b"y"], [1_000_000]),
        ([b"x"] * 2, [2] * 20),
    ],
)
def test_a_few_images_cannot_claim_to_be_a_million(
    client: Client, images: list[bytes], sizes: list[int]
) -> None:
    shape = {"dim": [{"size": size} for size in sizes]}
    claim = {"dtype": 7, "tensor_shape": shape, "string_val": images}
    with pytest.raises(grpc.RpcError) as error:
        client.ask(P, "Predict", model_spec=spec(signature_name="echo"), inputs={"key": claim})
    code, details = refusal(error.value)
    assert code == "INVALID_ARGUMENT"
    assert f"does not fit {len(images)} value" in details


def test_a_long_name_comes_back_shortened_with_its_code(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as error:
        client.half_plus(1.0, signature_name="s" * 100_000)
    code, details = refusal(error.value)
    assert code == "FAILED_PRECONDITION"
    assert len(details) <= 2000


def test_bytes_that_are_no_message_are_internal_and_an_unknown_method_unimplemented(
    client: Client,
) -> None:
    for path, code in ((f"/{P}/Predict", "INTERNAL"), (f"/{P}/Nothing", "UNIMPLEMENTED")):
        call: Callable[..., bytes] = client.channel.unary_unary(path)
        with pytest.raises(grpc.RpcError) as error:
            call(b"\xff" * 40, timeout=10)
        assert refusal(error.value)[0] == code
