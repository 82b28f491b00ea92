"""What a client gets through to: the deployment's own nginx configuration, in front of a server."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from helpers.colour_models import export, paint
from helpers.release_store import MODEL, promote, record
from helpers.rendered import named, render
from helpers.replicas import (
    HOST,
    NGINX,
    Authority,
    Places,
    Running,
    arguments,
    authority,
    model_server,
    places,
    proxy,
)

from sortline.client.messages import HEALTH, MODEL_SERVICE, PREDICTION_SERVICE, message
from sortline.client.rpc import method
from sortline.client.tensors import from_proto, to_proto
from sortline.core.storage import Limits
from sortline.releases.store import open_store
from sortline.releases.sync import ServedFolder

needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed here")
OVERLAY = "gpu"
Call = Callable[..., Any]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """A pod's volumes: the ConfigMap, and what the sidecar brought from a store."""
    store = tmp_path_factory.mktemp("store")
    export(store / "3")
    record(store, 3)
    promote(store, {"stable": 3})
    with places() as found:
        found.lay("/etc/serving", named(render(OVERLAY), "ConfigMap", "server-config")["data"])
        found.of("/run/serving").mkdir(parents=True)
        with open_store(str(store), Limits(5.0, 1)) as opened:
            ServedFolder(found.of("/models"), MODEL).synchronise(opened)
        yield found


@pytest.fixture(scope="module")
def server(here: Places) -> Iterator[Running]:
    """Started with the deployment's own arguments."""
    with model_server(arguments(OVERLAY, here)) as running:
        yield running


@pytest.fixture(scope="module")
def inside(here: Places, server: Running) -> Iterator[grpc.Channel]:
    """What the proxy sees: the socket in the pod."""
    path = here.of("/run/serving/grpc.sock")
    with grpc.insecure_channel(f"unix:{path}") as channel:
        _wait_until_served(channel)
        yield channel


def _status(channel: grpc.Channel, **options: Any) -> Any:
    request = message("tensorflow.serving.GetModelStatusRequest")()
    request.model_spec.name = MODEL
    return method(channel, MODEL_SERVICE, "GetModelStatus")(request, timeout=30, **options)


def _wait_until_served(channel: grpc.Channel) -> None:
    # The label is answered for once its version is AVAILABLE; until then, an error.
    request = message("tensorflow.serving.GetModelMetadataRequest")()
    request.model_spec.name, request.model_spec.version_label = MODEL, "stable"
    request.metadata_field.append("signature_def")
    metadata = method(channel, PREDICTION_SERVICE, "GetModelMetadata")
    for _ in range(600):
        try:
            metadata(request, timeout=10, wait_for_ready=True)
        except grpc.RpcError:
            continue
        return
    pytest.fail("the model never became available")


@pytest.fixture(scope="module")
def vouching() -> Authority:
    return authority()


@pytest.fixture(scope="module")
def port(here: Places, inside: grpc.Channel, vouching: Authority) -> Iterator[int]:
    with proxy(here, vouching, OVERLAY) as listening:
        yield listening


def _channel(port: int, trusted: Authority, vouching: Authority | None) -> grpc.Channel:
    certificate, key = vouching.vouch("client") if vouching else (None, None)
    credentials = grpc.ssl_channel_credentials(trusted.certificate, key, certificate)
    options = [
        ("grpc.ssl_target_name_override", "serving.sortline-serving"),
        ("grpc.enable_http_proxy", 0),
    ]
    return grpc.secure_channel(f"{HOST}:{port}", credentials, options)


@pytest.fixture(scope="module")
def client(port: int, vouching: Authority) -> Iterator[grpc.Channel]:
    """A client with a certificate of the right authority."""
    with _channel(port, vouching, vouching) as channel:
        yield channel


def _predict(channel: grpc.Channel, image: bytes) -> Any:
    request = message("tensorflow.serving.PredictRequest")()
    request.model_spec.name, request.model_spec.version_label = MODEL, "stable"
    request.inputs["image_bytes"].CopyFrom(to_proto([image]))
    return method(channel, PREDICTION_SERVICE, "Predict")(request, timeout=60)


def test_the_server_starts_from_the_files_of_the_config_maps(inside: grpc.Channel) -> None:
    (version,) = _status(inside).model_version_status
    assert version.version == 3


@needs_nginx
def test_a_client_with_a_certificate_gets_its_answer(client: grpc.Channel, tmp_path: Path) -> None:
    paint(tmp_path / "red.png", "red", 80)
    answer = _predict(client, (tmp_path / "red.png").read_bytes())
    assert list(from_proto(answer.outputs["label"])) == [b"red"]
    assert answer.model_spec.version.value == 3


@needs_nginx
def test_a_client_may_ask_for_the_models_state(client: grpc.Channel) -> None:
    assert [each.version for each in _status(client).model_version_status] == [3]


def _reload(channel: grpc.Channel) -> Any:
    request = message("tensorflow.serving.ReloadConfigRequest")()
    request.config.model_config_list.SetInParent()
    call = method(channel, MODEL_SERVICE, "HandleReloadConfigRequest")
    return call(request, timeout=30)


@needs_nginx
def test_no_client_can_reload_the_configuration(client: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        _reload(client)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert _status(client).model_version_status[0].version == 3


@needs_nginx
def test_what_is_not_named_is_not_open_either(client: grpc.Channel) -> None:
    request = message("grpc.health.v1.HealthCheckRequest")()
    with pytest.raises(grpc.RpcError) as refused:
        method(client, HEALTH, "Check")(request, timeout=30)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


@needs_nginx
def test_an_error_of_the_server_reaches_the_client_as_it_is(client: grpc.Channel) -> None:
    request = message("tensorflow.serving.GetModelStatusRequest")()
    request.model_spec.name = "other"
    with pytest.raises(grpc.RpcError) as refused:
        method(client, MODEL_SERVICE, "GetModelStatus")(request, timeout=30)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert "other" in (refused.value.details() or "")


@needs_nginx
def test_nobody_gets_in_without_a_certificate(port: int, vouching: Authority) -> None:
    with _channel(port, vouching, None) as channel, pytest.raises(grpc.RpcError) as refused:
        _status(channel)
    assert refused.value.code() is not grpc.StatusCode.OK


@needs_nginx
def test_nobody_gets_in_with_a_certificate_of_somebody_elses(
    port: int, vouching: Authority
) -> None:
    with _channel(port, vouching, authority()) as channel, pytest.raises(grpc.RpcError) as refused:
        _status(channel)
    assert refused.value.code() is not grpc.StatusCode.OK


@needs_nginx
def test_a_server_that_is_gone_is_unavailable_and_may_be_tried_again(
    vouching: Authority,
) -> None:
    with (
        places() as empty,
        proxy(empty, vouching, OVERLAY) as lonely,
        _channel(lonely, vouching, vouching) as channel,
    ):
        with pytest.raises(grpc.RpcError) as refused:
            _status(channel)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
