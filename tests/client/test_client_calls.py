"""What a program that imports the client may rely on when it is late, refused, or watched."""

import copy
import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from helpers.certificates import Authority
from helpers.scripted_server import (
    VERSION,
    Script,
    images_of,
    label_of,
    lying_on_its_side,
    picture,
    serving,
    shares_of,
    usual_answer,
)
from prometheus_client import CollectorRegistry

from sortline.client import Client
from sortline.client.client_metrics import ClientMetrics
from sortline.client.messages import message
from sortline.client.rpc import Tls
from sortline.core.errors import ArtifactError, ParamsError, ServingError
from sortline.core.logged_predictions import LoggedPrediction

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def failure_of(client: Client) -> ServingError:
    """How a prediction fails."""
    with client, pytest.raises(ServingError) as caught:
        client.predict([picture()])
    return caught.value


# --- time ---


def test_a_server_that_does_not_answer_is_left_at_the_deadline(script: Script) -> None:
    script.held = True
    with serving(script) as target:
        error = failure_of(Client(target, timeout_s=0.3))
    assert (error.code, error.target) == ("DEADLINE_EXCEEDED", target)
    assert "Allow more time" in str(error)
    assert isinstance(error.__cause__, grpc.RpcError)
    again = copy.copy(error)  # As worker processes hand it on.
    assert (again.code, again.target, str(again)) == (error.code, target, str(error))
    assert len(script.requests) == 1


def test_one_deadline_holds_for_all_batches_and_attempts(target: str, script: Script) -> None:
    script.pauses_s, script.codes = [0.5, 0.5], [UNAVAILABLE]
    with Client(target, max_batch_items=1) as client:
        client.predict([picture(), picture()], timeout_s=9)
    # gRPC rounds what it tells the server, up to a tenth of a second of so many.
    first, retried, second_batch = script.remaining_s
    assert first <= 9
    assert retried <= 8.6
    assert second_batch <= 8.1


def test_no_request_is_sent_after_the_deadline(target: str, script: Script) -> None:
    def slow() -> Iterator[bytes]:
        yield picture()
        threading.Event().wait(0.4)  # A disk that takes its time.
        yield picture()

    with Client(target, max_batch_items=1) as client:
        client.predict([picture()])  # Connects: on a busy machine that takes a while.
        script.requests.clear()
        script.answer = usual_answer
        with pytest.raises(ServingError) as caught:
            client.predict(slow(), timeout_s=0.3)
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert len(script.requests) <= 1


# --- retries ---


def test_an_unavailable_server_is_asked_again(target: str, script: Script) -> None:
    script.codes = [UNAVAILABLE] * 3
    with Client(target) as client:
        (found,) = client.predict([picture()])
    assert found.label == label_of(picture())
    assert len(script.requests) == 4


@pytest.mark.parametrize(
    "code", ["INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "INTERNAL", "ABORTED"]
)
def test_nothing_else_is_asked_again(target: str, script: Script, code: str) -> None:
    script.codes = [grpc.StatusCode[code]]
    with Client(target) as client:
        with pytest.raises(ServingError, match="as the script says") as caught:
            client.predict([picture()])
        assert client.predict([picture()])[0].valid, "a failure stays behind"
    assert caught.value.code == code
    assert len(script.requests) == 2


def test_attempts_come_to_an_end_and_are_named(target: str, script: Script) -> None:
    script.codes = [UNAVAILABLE] * 9
    error = failure_of(Client(target, max_attempts=3))
    assert error.code == "UNAVAILABLE"
    assert "as the script says (3 attempts in " in str(error)
    assert len(script.requests) == 3


def test_no_server_at_all_is_said() -> None:
    with serving(Script()) as gone:
        pass
    said = str(failure_of(Client(gone, max_attempts=2)))
    assert said.startswith(f"{gone}: UNAVAILABLE: ")
    assert "Check that a model server listens there" in said


class Noticed(ClientMetrics):
    """Tells when the first attempt has failed."""

    def __init__(self) -> None:
        super().__init__(CollectorRegistry())
        self.failed = threading.Event()

    def retried(self, model: str) -> None:
        super().retried(model)
        self.failed.set()


def test_a_server_that_starts_anew_is_found_again(script: Script) -> None:
    noticed = Noticed()
    with serving(script) as target:
        port = int(target.split(":")[1])
        client = Client(target, metrics=noticed, timeout_s=60, max_attempts=100)
        client.predict([picture()])
    with client, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.predict, [picture()])
        assert noticed.failed.wait(60)
        with serving(script, port=port):
            assert asked.result(60)[0].label == label_of(picture())


# --- which model ---


def test_a_pinned_version_is_asked_for(target: str, script: Script) -> None:
    with Client(target, "waste", version=VERSION) as client:
        assert client.predict([picture()])[0].version == VERSION
    spec = script.requests[0].model_spec
    assert (spec.name, spec.version.value) == ("waste", VERSION)


def test_another_version_than_the_pinned_one_may_not_answer(target: str) -> None:
    error = failure_of(Client(target, version=VERSION + 1))
    assert "version 7 answered, not version 8" in str(error)


def test_a_label_is_asked_for(target: str, script: Script) -> None:
    with Client(target, version_label="canary") as client:
        client.predict([picture()])
    spec = script.requests[0].model_spec
    assert (spec.WhichOneof("version_choice"), spec.version_label) == ("version_label", "canary")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"version": 1, "version_label": "stable"}, "Both version 1 and label 'stable'"),
        ({"target": "http://localhost:8501"}, "wanted HOST:PORT of gRPC"),
        ({"target": ""}, "wanted HOST:PORT of gRPC"),
        ({"timeout_s": 0}, "timeout_s is 0"),
        ({"max_message_bytes": 50}, "max_message_bytes 50"),
        ({"max_batch_items": 0}, "max_batch_items"),
        ({"max_attempts": 0}, "max_attempts"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        Client(**{"target": "localhost:1", **settings})


# --- TLS ---


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def credentials(authority: Authority, *, mutual: bool) -> grpc.ServerCredentials:
    server = authority.issue("localhost")
    pair = (server.key.read_bytes(), server.certificate.read_bytes())
    trusted = authority.certificate.read_bytes() if mutual else None
    return grpc.ssl_server_credentials([pair], trusted, require_client_auth=mutual)


def test_tls_to_a_trusted_server(authority: Authority, script: Script) -> None:
    with (
        serving(script, credentials=credentials(authority, mutual=False)) as target,
        Client(target, tls=Tls(authority.certificate)) as client,
    ):
        assert client.predict([picture()])[0].valid


def test_a_server_that_nobody_vouches_for_gets_nothing(
    authority: Authority, script: Script, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger")
    with serving(script, credentials=credentials(stranger, mutual=False)) as target:
        for tls in (Tls(authority.certificate), Tls(), None):
            assert failure_of(Client(target, tls=tls, max_attempts=2)).code == "UNAVAILABLE"
    assert script.requests == []


def test_mutual_tls_tells_the_server_who_asks(authority: Authority, script: Script) -> None:
    known = authority.issue("sorting-plant")
    with serving(script, credentials=credentials(authority, mutual=True)) as target:
        ours = Tls(authority.certificate, known.certificate, known.key)
        with Client(target, tls=ours) as client:
            assert client.predict([picture()])[0].valid
        failure_of(Client(target, tls=Tls(authority.certificate), max_attempts=2))
    assert script.peers == [b"sorting-plant"]


def test_tls_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="a certificate for TLS and no key"):
        Tls(certificate=tmp_path / "x.pem")
    with pytest.raises(ParamsError, match="a key for TLS and no certificate"):
        Tls(key=tmp_path / "x.key")
    with pytest.raises(ArtifactError, match=r"x\.pem cannot be read: No such file"):
        Client("localhost:1", tls=Tls(tmp_path / "x.pem"))


# --- what others are told ---


def test_every_answered_image_is_logged_as_it_was_sent(target: str, script: Script) -> None:
    logged: list[LoggedPrediction] = []
    images = [picture(), b"", lying_on_its_side(), picture() + b"broken"]
    before = datetime.now(UTC)
    with Client(target, "waste", log=logged.append) as client:
        client.predict(images)
    sent = images_of(script.requests[0])
    assert [each.image for each in logged] == sent
    assert [each.sha256 for each in logged] == [hashlib.sha256(each).hexdigest() for each in sent]
    assert [each.label for each in logged] == [label_of(sent[0]), label_of(sent[1]), ""]
    assert [each.valid for each in logged] == [True, True, False]
    assert [each.class_id for each in logged[2:]] == [-1]
    assert logged[0].probabilities == tuple(shares_of(sent[0]))
    assert {(each.model, each.version) for each in logged} == {("waste", VERSION)}
    assert before <= logged[0].time <= datetime.now(UTC)
    assert logged[0].latency_s > 0


def test_calls_and_predictions_are_counted(target: str, script: Script) -> None:
    registry = CollectorRegistry()
    script.codes = [UNAVAILABLE, grpc.StatusCode.NOT_FOUND]
    with Client(target, metrics=ClientMetrics(registry), max_batch_items=2) as client:
        with pytest.raises(ServingError):
            client.predict([picture()])
        client.predict([picture(), picture(), picture() + b"broken", b""])

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"sortline_client_{name}", labels)

    of_model = {"model": "sortline"}
    assert value("requests_total", **of_model, code="OK") == 2
    assert value("requests_total", **of_model, code="NOT_FOUND") == 1
    assert value("retries_total", **of_model) == 1
    assert value("latency_seconds_count", **of_model) == 3
    version = {**of_model, "version": str(VERSION)}
    assert value("predictions_total", **version, label=label_of(picture())) == 2
    assert value("predictions_total", **version, label="invalid") == 1
    assert value("confidence_count", **version) == 2
    assert value("confidence_sum", **version) == pytest.approx(2 * max(shares_of(picture())))
    assert value("refused_images_total", reason="empty") == 1


def test_an_answer_that_does_not_fit_is_counted_as_a_failure(target: str, script: Script) -> None:
    registry = CollectorRegistry()
    script.answer = lambda request: message("tensorflow.serving.PredictResponse")()
    with Client(target, metrics=ClientMetrics(registry)) as client, pytest.raises(ServingError):
        client.predict([picture()])
    labels = {"model": "sortline", "code": "INTERNAL"}
    assert registry.get_sample_value("sortline_client_requests_total", labels) == 1


def test_threads_may_share_a_client(target: str) -> None:
    images = [picture(seed=seed) for seed in range(40)]
    with Client(target) as client, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda image: client.predict([image])[0].label, images))
    assert found == [label_of(image) for image in images]
