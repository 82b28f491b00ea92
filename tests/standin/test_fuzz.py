"""Whatever a stranger sends, the server gives a documented code and goes on answering."""

import http.client
import random
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from helpers.colour_models import paint
from helpers.served_models import Client, refusal, versions

from sortline.client.messages import PREDICTION_SERVICE
from sortline.client.tensors import from_proto
from sortline.serving.local_server import RunningServer, running_server
from sortline.serving.server_program import Models, Program
from sortline.serving.version_folder import predict_request

ROUNDS = 150
DOCUMENTED = {
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "FAILED_PRECONDITION",
    "RESOURCE_EXHAUSTED",
    "INTERNAL",
    "UNIMPLEMENTED",
}
SHAPES = [[], [0], [3], [-1], [1, 0], [2, 3], [1 << 40], [1 << 62, 0], [1 << 31, 1 << 33], [1] * 70]


@pytest.fixture(scope="module")
def red(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("pictures") / "red.png"
    paint(path, "red", 80)
    return path.read_bytes()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, ours: Path) -> Iterator[RunningServer]:
    base_path = versions(tmp_path_factory.mktemp("served"), ours, 1)
    flags = ("--grpc_channel_arguments=grpc.max_receive_message_length=1000000",)
    models = Models("sortline", base_path, flags=flags)
    with running_server(models, timeout_s=300, program=Program("stand-in", "")) as found:
        yield found


@pytest.fixture
def client(server: RunningServer, red: bytes) -> Iterator[Client]:
    """A client; after the test the server must still be there, and right."""
    client = Client(server.grpc)
    with client.channel:
        yield client
        assert server.process.poll() is None, server.log.tail()
        answer = client.predict({"name": "sortline"}, image_bytes=[red])
        assert from_proto(answer.outputs["label"]).tolist() == [b"red"]
        assert "Traceback" not in server.log.tail()


def code_of(call: Callable[[], Any]) -> str:
    try:
        call()
    except grpc.RpcError as error:
        return refusal(error)[0]
    return "OK"


def mutated(random_: random.Random, data: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(random_.randint(1, 6)):
        at = random_.randrange(len(damaged))
        match random_.randrange(4):
            case 0:
                damaged[at] = random_.randrange(256)
            case 1:
                del damaged[at : at + random_.randint(1, 40)]
            case 2:
                damaged[at:at] = random_.randbytes(random_.randint(1, 40))
            case _:
                damaged[at] ^= 1 << random_.randrange(8)
        if not damaged:
            return b""
    return bytes(damaged)


def test_damaged_messages(client: Client, red: bytes) -> None:
    random_ = random.Random(1)
    whole = predict_request([red], "sortline").SerializeToString()
    path = f"/{PREDICTION_SERVICE}/Predict"
    call: Callable[..., bytes] = client.channel.unary_unary(path)
    found = Counter(
        code_of(lambda: call(mutated(random_, whole), timeout=60)) for _ in range(ROUNDS)
    )
    assert set(found) <= DOCUMENTED, found
    assert len(found) > 2, "the damage is all of one kind"


def lie(random_: random.Random) -> dict[str, Any]:
    tensor: dict[str, Any] = {
        "dtype": random_.choice([0, 1, 1, 1, 3, 7, 7, 9, 10, 19, 21, 101, 500]),
        "tensor_shape": {"dim": [{"size": size} for size in random_.choice(SHAPES)]},
    }
    match random_.randrange(4):
        case 0:
            tensor["float_val"] = [random_.choice([0.0, float("nan"), 1e38])] * random_.randrange(4)
        case 1:
            tensor["string_val"] = [random_.randbytes(9)] * random_.randrange(4)
        case 2:
            tensor["tensor_content"] = random_.randbytes(random_.randrange(40))
        case _:
            tensor["tensor_shape"]["unknown_rank"] = random_.random() < 0.5
    return tensor


def test_wrong_names_types_shapes_and_filters(client: Client) -> None:
    random_ = random.Random(2)

    def call() -> None:
        spec = {
            "name": random_.choice(["sortline"] * 6 + ["", "sort\x00line", "x" * 9000]),
            "signature_name": random_.choice(["", "predict_tensor", "serving_default", "nope"]),
        }
        names = random_.choices(["image_bytes", "image", "", "x"], k=random_.randrange(3))
        client.ask(
            PREDICTION_SERVICE,
            "Predict",
            model_spec=spec,
            inputs={name: lie(random_) for name in names},
            output_filter=random_.choices(["label", "valid", "nope"], k=random_.randrange(3)),
        )

    found = Counter(code_of(call) for _ in range(ROUNDS))
    assert set(found) <= DOCUMENTED, found
    assert found["INVALID_ARGUMENT"] > ROUNDS // 4


def test_pictures_of_any_rank_and_size(client: Client) -> None:
    random_ = random.Random(3)
    spec = {"name": "sortline", "signature_name": "predict_tensor"}

    def call() -> None:
        shape = [random_.choice([0, 1, 2, 3, 31, 32, 33]) for _ in range(random_.randrange(6))]
        while np.prod(shape) > 200_000:
            shape.pop()
        client.predict(spec, image=np.zeros(shape, np.float32))

    found = Counter(code_of(call) for _ in range(ROUNDS))
    assert set(found) <= DOCUMENTED, found


def test_an_oversized_message_is_refused_by_its_size(client: Client) -> None:
    assert code_of(lambda: client.predict({"name": "sortline"}, image_bytes=[bytes(1 << 20)])) == (
        "RESOURCE_EXHAUSTED"
    )


def test_random_bytes_on_the_wire(client: Client, server: RunningServer) -> None:
    random_ = random.Random(4)
    for target in (server.grpc, server.rest):
        host, port = target.split(":")
        for _ in range(20):
            with socket.create_connection((host, int(port)), timeout=30) as connection:
                connection.sendall(random_.randbytes(random_.randint(1, 2000)))
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    host, port = server.grpc.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(preface + random_.randbytes(5000))


def test_random_bodies_over_rest(client: Client, server: RunningServer) -> None:
    random_ = random.Random(5)
    whole = (
        b'{"signature_name": "serving_default", "instances": [{"image_bytes": {"b64": "AAAA"}}]}'
    )
    found = Counter[int]()
    for _ in range(ROUNDS):
        connection = http.client.HTTPConnection(server.rest, timeout=60)
        connection.request("POST", "/v1/models/sortline:predict", mutated(random_, whole))
        answer = connection.getresponse()
        found[answer.status] += 1
        assert answer.read().startswith(b"{")
        connection.close()
    assert set(found) <= {200, 400}, found


def test_the_log_holds_no_traceback(server: RunningServer, tmp_path: Path) -> None:
    assert server.log.wait_for("Traceback", 0.0) is None
