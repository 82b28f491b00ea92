"""The asyncio client does what the other one does, without holding up the loop."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
from helpers.certificates import Authority
from helpers.scripted_server import (
    LABELS,
    VERSION,
    Script,
    images_of,
    label_of,
    lying_on_its_side,
    picture,
    serving,
)
from prometheus_client import CollectorRegistry

from sortline.client import Client
from sortline.client.async_client import AsyncClient
from sortline.client.base_client import BaseClient
from sortline.client.client_metrics import ClientMetrics
from sortline.client.prediction import Prediction
from sortline.client.rpc import Tls
from sortline.core.errors import ParamsError, ServingError
from sortline.core.logged_predictions import LoggedPrediction

T = TypeVar("T")
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def using(target: str, work: Callable[[AsyncClient], Coroutine[Any, Any, T]], **settings: Any) -> T:
    async def main() -> T:
        async with AsyncClient(target, **settings) as client:
            return await work(client)

    return asyncio.run(main())


def test_it_answers_as_the_other_one_does(target: str, script: Script, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(seed=9))
    images: list[Path | bytes] = [
        picture(),
        b"no picture",
        tmp_path / "a.png",
        lying_on_its_side(),
        tmp_path / "nowhere.png",
        picture() + b"broken",
    ]
    settings: dict[str, Any] = {"labels": LABELS, "max_batch_items": 2, "version": VERSION}
    found = using(target, lambda client: client.predict(images), **settings)
    asked = [request.SerializeToString(deterministic=True) for request in script.requests]
    script.requests.clear()
    with Client(target, **settings) as client:
        assert client.predict(images) == found
    assert [each.SerializeToString(deterministic=True) for each in script.requests] == asked


def test_both_take_the_same_settings() -> None:
    assert AsyncClient.__dataclass_fields__ is BaseClient.__dataclass_fields__
    assert Client.__dataclass_fields__ is BaseClient.__dataclass_fields__
    with pytest.raises(ParamsError, match="Both version"):
        AsyncClient("localhost:1", version=1, version_label="stable")


def test_it_can_be_made_before_there_is_a_loop_and_closed_unused(target: str) -> None:
    client = AsyncClient(target)

    async def main() -> list[Prediction]:
        async with client:
            return await client.predict([picture()])

    assert asyncio.run(main())[0].label == label_of(picture())
    asyncio.run(AsyncClient(target).close())


def test_an_unavailable_server_is_asked_again(target: str, script: Script) -> None:
    script.codes = [UNAVAILABLE] * 2
    assert using(target, lambda client: client.predict([picture()]))[0].valid
    assert len(script.requests) == 3


def test_nothing_else_is_asked_again_and_the_error_is_ours(target: str, script: Script) -> None:
    script.codes = [grpc.StatusCode.NOT_FOUND]
    with pytest.raises(ServingError, match=r"NOT_FOUND: as the script says\. Check the") as caught:
        using(target, lambda client: client.predict([picture()]))
    assert (caught.value.code, len(script.requests)) == ("NOT_FOUND", 1)
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_attempts_come_to_an_end(target: str, script: Script) -> None:
    script.codes = [UNAVAILABLE] * 9
    with pytest.raises(ServingError, match="2 attempts in"):
        using(target, lambda client: client.predict([picture()]), max_attempts=2)


def test_the_deadline_holds(script: Script) -> None:
    script.held = True
    with serving(script) as target, pytest.raises(ServingError) as caught:
        using(target, lambda client: client.predict([picture()], timeout_s=0.3))
    assert caught.value.code == "DEADLINE_EXCEEDED"


def test_a_cancelled_prediction_cancels_its_call(script: Script) -> None:
    script.held = True

    async def main(client: AsyncClient) -> None:
        task = asyncio.create_task(client.predict([picture()]))
        await asyncio.to_thread(script.came.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with serving(script) as target:
        using(target, main)
        assert script.went.wait(30)


def test_many_at_once_share_a_client(target: str) -> None:
    images = [picture(seed=seed) for seed in range(40)]

    async def main(client: AsyncClient) -> list[str]:
        found = await asyncio.gather(*(client.predict([image]) for image in images))
        return [each.label for (each,) in found]

    assert using(target, main) == [label_of(image) for image in images]


def test_reading_turning_and_logging_do_not_hold_up_the_loop(target: str, tmp_path: Path) -> None:
    threads: list[threading.Thread] = []

    def images() -> Iterator[bytes]:
        threads.append(threading.current_thread())
        yield picture()

    def log(_: LoggedPrediction) -> None:
        threads.append(threading.current_thread())

    using(target, lambda client: client.predict(images()), log=log)
    assert len(threads) == 2
    assert threading.main_thread() not in threads


def test_calls_are_counted_and_logged(target: str, script: Script) -> None:
    registry, logged = CollectorRegistry(), list[LoggedPrediction]()
    script.codes = [UNAVAILABLE]
    settings: dict[str, Any] = {"metrics": ClientMetrics(registry), "log": logged.append}
    using(target, lambda client: client.predict([picture(), b""]), **settings)
    labels = {"model": "sortline", "code": "OK"}
    assert registry.get_sample_value("sortline_client_requests_total", labels) == 1
    labels = {"model": "sortline"}
    assert registry.get_sample_value("sortline_client_retries_total", labels) == 1
    assert [each.image for each in logged] == images_of(script.requests[0])


def test_mutual_tls(script: Script, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    host, known = authority.issue("localhost"), authority.issue("sorting-plant")
    credentials = grpc.ssl_server_credentials(
        [(host.key.read_bytes(), host.certificate.read_bytes())],
        authority.certificate.read_bytes(),
        require_client_auth=True,
    )
    with serving(script, credentials=credentials) as target:
        tls = Tls(authority.certificate, known.certificate, known.key)
        assert using(target, lambda client: client.predict([picture()]), tls=tls)[0].valid
    assert script.peers == [b"sorting-plant"]
