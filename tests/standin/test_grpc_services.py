"""TensorFlow Serving's own stubs, unchanged, against the stand-in; and grpc.health.v1."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from helpers.served_models import Client, Running, client_of, refusal, standin, versions

from sortline.client.messages import HEALTH, methods_of
from sortline.client.tensors import from_proto


@pytest.fixture(scope="module")
def stock(running: Running) -> Iterator[Any]:
    """Both stock stubs and modules, on one channel."""
    from types import SimpleNamespace

    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
        regression_pb2,
    )

    with grpc.insecure_channel(running.at.grpc) as channel:
        yield SimpleNamespace(
            prediction=prediction_service_pb2_grpc.PredictionServiceStub(channel),
            models=model_service_pb2_grpc.ModelServiceStub(channel),
            predict=predict_pb2.PredictRequest,
            classify=classification_pb2.ClassificationRequest,
            regress=regression_pb2.RegressionRequest,
            metadata=get_model_metadata_pb2,
            status=get_model_status_pb2.GetModelStatusRequest,
        )


@pytest.mark.parametrize("shape", [[], [1], [1, 1]])
def test_its_test_client_sends_a_scalar_to_default_and_reads_typed_fields(
    stock: Any, shape: list[int]
) -> None:
    request = stock.predict()
    request.model_spec.name = "default"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(2.0, tf.float32, shape))
    result = stock.prediction.Predict(request, timeout=10)
    assert list(result.outputs["y"].float_val) == [3.0]
    assert [dim.size for dim in result.outputs["y"].tensor_shape.dim] == shape
    spec = result.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (
        "default",
        123,
        "serving_default",
    )


def test_packed_numbers_are_read(stock: Any) -> None:
    request = stock.predict()
    request.model_spec.name = "default"
    packed = tf.make_tensor_proto(np.arange(4, dtype=np.float32))
    assert packed.tensor_content
    request.inputs["x"].CopyFrom(packed)
    assert list(stock.prediction.Predict(request, timeout=10).outputs["y"].float_val) == [
        2.0,
        2.5,
        3.0,
        3.5,
    ]


def _examples(request: Any, *values: float) -> Any:
    request.model_spec.name = "examples"
    for value in values:
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(value)
    return request


def test_models_of_the_old_builder_are_classified_and_regressed(stock: Any) -> None:
    request = _examples(stock.classify(), 2.0, 4.0)
    request.model_spec.signature_name = "classify"
    found = stock.prediction.Classify(request, timeout=10)
    scores = [[each.score for each in row.classes] for row in found.result.classifications]
    assert scores == [[3.0], [4.0]]
    assert found.model_spec.version.value == 1
    asked = _examples(stock.regress(), 2.0, 4.0)
    asked.model_spec.signature_name = "regress"
    regressions = stock.prediction.Regress(asked, timeout=10).result.regressions
    assert [each.value for each in regressions] == [3.0, 4.0]


def test_a_context_is_laid_under_every_example(stock: Any) -> None:
    request = stock.regress()
    request.model_spec.name, request.model_spec.signature_name = "examples", "regress"
    given = request.input.example_list_with_context
    given.context.features.feature["x"].float_list.value.append(8.0)
    given.examples.add()
    given.examples.add().features.feature["x"].float_list.value.append(2.0)
    regressions = stock.prediction.Regress(request, timeout=10).result.regressions
    assert [each.value for each in regressions] == [6.0, 3.0]


def test_an_example_that_the_graph_cannot_parse_is_the_callers_fault(stock: Any) -> None:
    request = stock.regress()
    request.model_spec.name, request.model_spec.signature_name = "examples", "regress"
    request.input.example_list.examples.add()
    with pytest.raises(grpc.RpcError) as error:
        stock.prediction.Regress(request, timeout=10)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_metadata_holds_the_signatures(stock: Any) -> None:
    request = stock.metadata.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "default"
    found = stock.prediction.GetModelMetadata(request, timeout=10)
    signatures = stock.metadata.SignatureDefMap()
    assert found.metadata["signature_def"].Unpack(signatures)
    default = signatures.signature_def["serving_default"]
    assert (list(default.inputs), list(default.outputs)) == (["x"], ["y"])
    assert default.inputs["x"].dtype == tf.float32.as_datatype_enum
    assert found.model_spec.version.value == 123


def test_status_lists_every_version(stock: Any) -> None:
    request = stock.status()
    request.model_spec.name = "default"
    found = stock.models.GetModelStatus(request, timeout=10)
    assert text_format.MessageToString(found, as_one_line=True) == (
        "model_version_status { version: 123 state: AVAILABLE status { } }"
    )


def test_a_label_leads_to_its_version_and_a_filter_to_fewer_outputs(client: Client) -> None:
    assert client.half_plus(2.0, version_label="stable") == 3.0
    request = {"name": "default", "signature_name": "echo"}
    whole = client.predict(request, key=[b"a", b"\xff\x00"])
    assert sorted(whole.outputs) == ["key_bytes", "key_text", "size"]
    assert from_proto(whole.outputs["key_bytes"]).tolist() == [b"a", b"\xff\x00"]
    some = client.ask(
        "tensorflow.serving.PredictionService",
        "Predict",
        model_spec=request,
        inputs={"key": whole.outputs["key_bytes"]},
        output_filter=["size"],
    )
    assert from_proto(some.outputs["size"]).tolist() == [1, 2]
    assert list(some.outputs) == ["size"]


SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3


@pytest.mark.parametrize(
    "service", ["", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"]
)
def test_a_server_whose_models_are_available_is_serving(client: Client, service: str) -> None:
    assert client.ask(HEALTH, "Check", service=service).status == SERVING


def test_an_unknown_service_is_not_found(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as error:
        client.ask(HEALTH, "Check", service="nope")
    assert refusal(error.value)[0] == "NOT_FOUND"


def test_a_watcher_is_told_of_every_change_and_does_not_hold_up_the_end(
    tmp_path: Path, half_plus_two: Path
) -> None:
    base_path = tmp_path / "default"
    base_path.mkdir()
    request, response = methods_of(HEALTH)["Watch"]
    with standin(f"--model_base_path={base_path}") as running, client_of(running) as client:
        call = client.channel.unary_stream(
            f"/{HEALTH}/Watch",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        states = call(request(), timeout=60)
        unknown = call(request(service="nope"), timeout=60)
        assert next(states).status == NOT_SERVING
        assert next(unknown).status == SERVICE_UNKNOWN
        versions(base_path, half_plus_two, 1)
        config = {"name": "default", "base_path": str(base_path)}
        client.reload(config)
        assert next(states).status == SERVING
        running.stop()
        with pytest.raises(StopIteration):
            next(states)
