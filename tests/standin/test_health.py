"""An orchestrator learns from grpc.health.v1 when to send anybody here."""

from pathlib import Path

import grpc
import pytest
from helpers.served_models import Client, client_of, refusal, standin, versions

from sortline.client.messages import HEALTH, methods_of

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
