"""The messages are TensorFlow Serving's own: same bytes, same fields, beside it in one process."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2,
    regression_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from infra.tools import pack_messages
from sortline.client import messages

REPOSITORY = Path(__file__).parents[2]
STOCK: tuple[Any, ...] = (
    predict_pb2.PredictRequest,
    predict_pb2.PredictResponse,
    classification_pb2.ClassificationRequest,
    classification_pb2.ClassificationResponse,
    regression_pb2.RegressionRequest,
    regression_pb2.RegressionResponse,
    get_model_metadata_pb2.GetModelMetadataRequest,
    get_model_metadata_pb2.GetModelMetadataResponse,
    get_model_metadata_pb2.SignatureDefMap,
    get_model_status_pb2.GetModelStatusRequest,
    get_model_status_pb2.GetModelStatusResponse,
    model_management_pb2.ReloadConfigRequest,
    model_management_pb2.ReloadConfigResponse,
    prediction_log_pb2.PredictionLog,
    model_server_config_pb2.ModelServerConfig,
)


def test_what_is_packed_is_what_the_installed_package_has() -> None:
    packed = Path(messages.__file__).with_name(messages.FILE).read_bytes()
    assert packed == pack_messages.pack(), "run python -m infra.tools.pack_messages"


def fill(value: Any, depth: int = 0) -> None:
    """Give every field of a message something, lists and maps two entries, to some depth."""
    for field in value.DESCRIPTOR.fields:
        if field.message_type is None:
            _fill_plain(value, field)
        elif field.message_type.GetOptions().map_entry:
            _fill_map(value, field, depth)
        elif depth < 3 and field.is_repeated:
            for _ in range(2):
                fill(getattr(value, field.name).add(), depth + 1)
        elif depth < 3:
            getattr(value, field.name).SetInParent()
            fill(getattr(value, field.name), depth + 1)


def _fill_plain(value: Any, field: Any) -> None:
    kinds = {field.CPPTYPE_STRING: "ü" if field.type == field.TYPE_STRING else b"\xff\0"}
    kinds |= {field.CPPTYPE_BOOL: True, field.CPPTYPE_FLOAT: 0.5, field.CPPTYPE_DOUBLE: -0.5}
    plain = kinds.get(field.cpp_type, 1)
    if field.is_repeated:
        getattr(value, field.name).extend([plain, plain])
    else:
        setattr(value, field.name, plain)


def _fill_map(value: Any, field: Any, depth: int) -> None:
    key, entry = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    first = "a" if key.cpp_type == key.CPPTYPE_STRING else 1
    entries = getattr(value, field.name)
    if entry.message_type is None:
        entries[first] = "b" if entry.cpp_type == entry.CPPTYPE_STRING else 2
    elif depth < 3:
        fill(entries[first], depth + 1)


@pytest.mark.parametrize("stock", STOCK, ids=lambda stock: str(stock.DESCRIPTOR.name))
def test_messages_are_the_stock_ones_byte_for_byte(stock: Any) -> None:
    ours = messages.message(stock.DESCRIPTOR.full_name)
    assert ours is not stock
    theirs = stock()
    fill(theirs)
    wire = theirs.SerializeToString(deterministic=True)
    assert len(wire) > 2
    read = ours.FromString(wire)
    assert str(read) == str(theirs)
    assert read.SerializeToString(deterministic=True) == wire
    again = ours()
    fill(again)
    assert again.SerializeToString(deterministic=True) == wire


@pytest.mark.parametrize(
    ("name", "module"),
    [
        (messages.PREDICTION_SERVICE, prediction_service_pb2),
        (messages.MODEL_SERVICE, model_service_pb2),
    ],
)
def test_services_have_the_stock_methods(name: str, module: Any) -> None:
    service = module.DESCRIPTOR.services_by_name[name.rsplit(".", 1)[1]]
    assert service.full_name == name
    assert {
        method: (request.DESCRIPTOR.full_name, response.DESCRIPTOR.full_name)
        for method, (request, response) in messages.methods_of(name).items()
    } == {
        method.name: (method.input_type.full_name, method.output_type.full_name)
        for method in service.methods
    }


def test_health_is_what_its_protocol_says() -> None:
    methods = messages.methods_of(messages.HEALTH)
    assert set(methods) == {"Check", "Watch"}
    request, response = methods["Check"]
    # doc/health-checking.md of gRPC: field 1 each, SERVING is 1.
    assert request(service="x").SerializeToString() == b"\x0a\x01x"
    serving = messages.number_of("grpc.health.v1.HealthCheckResponse.ServingStatus", "SERVING")
    assert response(status=serving).SerializeToString() == b"\x08\x01"


def test_the_pool_is_private() -> None:
    ours = messages.message("tensorflow.serving.PredictRequest").DESCRIPTOR
    assert ours.file.pool is not descriptor_pool.Default()
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("grpc.health.v1.HealthCheckRequest")


def test_names_and_numbers_of_enums() -> None:
    state = "tensorflow.serving.ModelVersionStatus.State"
    assert messages.number_of(state, "AVAILABLE") == 30
    assert messages.name_of(state, 30) == "AVAILABLE"
    assert messages.name_of(state, 31) == "31"
    with pytest.raises(KeyError):
        messages.message("tensorflow.serving.NoSuchMessage")


OURS = """
from sortline.client import Client
with Client("localhost:1") as client:
    request = client.request([b"image"])
assert request.inputs["image_bytes"].string_val == [b"image"]
"""
THEIRS = """
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
stock = predict_pb2.PredictRequest()
stock.model_spec.name, stock.model_spec.signature_name = "sortline", "serving_default"
stock.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([b"image"]))
"""
EQUAL = "assert request.SerializeToString() == stock.SerializeToString()"


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_client_and_tensorflow_live_in_one_process(first: str) -> None:
    parts = [OURS, THEIRS] if first == "ours" else [THEIRS, OURS]
    command = [sys.executable, "-c", "\n".join([*parts, EQUAL])]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
