"""Versions come and go as base paths and config lists say, and nobody who calls notices."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from helpers.served_models import Client, Running, client_of, floats, refusal, standin, versions
from helpers.served_models import model_config as config

from sortline.client import rpc
from sortline.client.messages import MODEL_SERVICE, message
from sortline.client.tensors import from_proto


def test_the_newest_version_takes_over_and_names_that_are_no_numbers_are_ignored(
    served: tuple[Running, Client], base_path: Path, half_plus_three: Path
) -> None:
    running, client = served
    shutil.copytree(half_plus_three, base_path / "99.partial")
    shutil.copytree(half_plus_three, base_path / "v5")
    (base_path / "README").write_text("hello")
    running.poll()
    assert client.states() == {1: "AVAILABLE"}
    versions(base_path, half_plus_three, 2)
    running.poll()
    assert client.half_plus(2.0) == 4.0
    assert client.states()[2] == "AVAILABLE"
    shutil.rmtree(base_path / "2")
    running.poll()
    assert client.half_plus(2.0) == 3.0


def test_an_emptied_base_path_unloads_the_last_and_a_missing_one_does_not(
    served: tuple[Running, Client], base_path: Path
) -> None:
    running, client = served
    aside = base_path.rename(base_path.with_name("aside"))
    running.poll()
    assert client.half_plus(2.0) == 3.0
    shutil.rmtree(aside / "1")
    aside.rename(base_path)
    running.poll()
    with pytest.raises(grpc.RpcError) as error:
        client.half_plus(2.0)
    assert refusal(error.value) == (
        "NOT_FOUND",
        "Servable not found for request: Latest(default)",
    )


def test_a_link_to_a_version_is_a_version(
    served: tuple[Running, Client], base_path: Path, half_plus_three: Path
) -> None:
    running, client = served
    (base_path / "2").symlink_to(half_plus_three)
    running.poll()
    assert client.half_plus(2.0) == 4.0


def test_policies_and_labels_as_a_release_uses_them(
    served: tuple[Running, Client], base_path: Path, half_plus_three: Path
) -> None:
    _, client = served
    versions(base_path, half_plus_three, 2)
    client.reload(config(base_path, 1, stable=1))
    assert client.states() == {1: "AVAILABLE"}
    with pytest.raises(grpc.RpcError) as error:
        client.reload(config(base_path, 1, 2, stable=1, canary=2))
    assert refusal(error.value)[0] == "FAILED_PRECONDITION"
    assert client.states() == {1: "AVAILABLE"}, "a refused request must change nothing"
    client.reload(config(base_path, 1, 2, stable=1))
    client.reload(config(base_path, 1, 2, stable=1, canary=2))
    assert client.half_plus(2.0, version_label="stable") == 3.0
    assert client.half_plus(2.0, version_label="canary") == 4.0
    client.reload(config(base_path, 1, 2, stable=2))
    assert client.half_plus(2.0, version_label="stable") == 4.0
    with pytest.raises(grpc.RpcError) as error:
        client.half_plus(2.0, version_label="canary")
    assert refusal(error.value) == (
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: canary",
    )
    client.reload(config(base_path, 2, stable=2))
    with pytest.raises(grpc.RpcError) as error:
        client.half_plus(2.0, version={"value": 1})
    assert refusal(error.value)[0] == "NOT_FOUND"


def test_with_the_flag_a_new_label_may_point_ahead_and_a_used_one_may_not(
    base_path: Path, half_plus_three: Path
) -> None:
    flags = (f"--model_base_path={base_path}", "--allow_version_labels_for_unavailable_models")
    with standin(*flags) as running, client_of(running) as client:
        client.reload(config(base_path, 1, stable=1, canary=2))
        with pytest.raises(grpc.RpcError) as error:
            client.half_plus(2.0, version_label="canary")
        assert refusal(error.value) == (
            "NOT_FOUND",
            "Servable not found for request: Specific(default, 2)",
        )
        with pytest.raises(grpc.RpcError) as error:
            client.reload(config(base_path, 1, stable=2))
        assert refusal(error.value)[0] == "FAILED_PRECONDITION"


def test_all_and_latest(served: tuple[Running, Client], base_path: Path, ours: Path) -> None:
    _, client = served
    versions(base_path, ours, 2, 10)
    every = {**config(base_path), "model_version_policy": {"all": {}}}
    client.reload(every)
    assert client.states() == dict.fromkeys((10, 2, 1), "AVAILABLE")
    two = {**config(base_path), "model_version_policy": {"latest": {"num_versions": 2}}}
    client.reload(two)
    serving = [number for number, state in client.states().items() if state == "AVAILABLE"]
    assert serving == [10, 2]


def test_a_model_left_out_is_gone_and_a_new_one_is_there_when_the_answer_comes(
    served: tuple[Running, Client], base_path: Path, half_plus_three: Path, tmp_path: Path
) -> None:
    _, client = served
    other = versions(tmp_path / "other", half_plus_three, 7)
    client.reload({"name": "other", "base_path": str(other)})
    response = client.predict({"name": "other"}, x=floats(2.0))
    assert from_proto(response.outputs["y"]).tolist() == [4.0]
    with pytest.raises(grpc.RpcError) as error:
        client.half_plus(2.0)
    assert refusal(error.value)[0] == "NOT_FOUND"


def test_a_polled_config_file_is_followed_and_a_broken_one_changes_nothing(
    tmp_path: Path, base_path: Path, half_plus_three: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    versions(base_path, half_plus_three, 2)
    file = tmp_path / "models.config"

    def write(text: str) -> None:
        file.with_name("new").write_text(text)
        file.with_name("new").rename(file)

    def listed(*numbers: int) -> str:
        chosen = " ".join(f"versions: {number}" for number in numbers)
        policy = f"model_version_policy {{ specific {{ {chosen} }} }}"
        model = f'name: "default" base_path: "{base_path}" {policy}'
        return f"model_config_list {{ config {{ {model} }} }}"

    write(listed(1))
    flags = (f"--model_config_file={file}", "--model_config_file_poll_wait_seconds=1")
    said = ""
    with standin(*flags) as running, client_of(running) as client:
        assert client.states() == {1: "AVAILABLE"}
        write("model_config_list { this is none")
        while "cannot be used" not in said:
            said += capfd.readouterr().err
        assert client.half_plus(2.0) == 3.0
        write(listed(1, 2))
        while client.states().get(2) != "AVAILABLE":
            pass
        assert client.half_plus(2.0) == 4.0


def test_a_server_that_does_not_poll_loads_when_it_is_told_to(base_path: Path) -> None:
    flags = (f"--model_base_path={base_path}", "--file_system_poll_wait_seconds=-1")
    with standin(*flags) as running, client_of(running) as client:
        with pytest.raises(grpc.RpcError) as error:
            client.states()
        assert refusal(error.value)[0] == "NOT_FOUND"
        client.reload(config(base_path))
        call = rpc.method(client.channel, MODEL_SERVICE, "GetModelStatus")
        request = message("tensorflow.serving.GetModelStatusRequest")()
        request.model_spec.name = "default"
        assert len(call(request).model_version_status) == 1, "a call without a deadline"


def test_a_call_ends_on_the_version_it_began_on(
    tmp_path: Path, half_plus_two_gated: Path, half_plus_three: Path
) -> None:
    base_path = versions(tmp_path / "default", half_plus_two_gated, 1)
    with (
        standin(f"--model_base_path={base_path}") as running,
        client_of(running) as client,
        ThreadPoolExecutor(1) as caller,
        running.gate() as go,
    ):
        spec = {"name": "default", "signature_name": "wait"}
        call = caller.submit(client.predict, spec, 120.0, ticket=np.array(7, np.int32))
        running.wait_for_calls(1)
        versions(base_path, half_plus_three, 2)
        running.poll()
        assert client.states() == {2: "AVAILABLE", 1: "UNLOADING"}
        assert client.half_plus(2.0) == 4.0
        go()
        answer = call.result()
        assert answer.model_spec.version.value == 1
        assert from_proto(answer.outputs["passed"]).tolist() == 7


def test_five_swaps_under_load_fail_no_call_and_mix_no_versions(
    served: tuple[Running, Client], base_path: Path, half_plus_two: Path, half_plus_three: Path
) -> None:
    running, client = served
    plus = {number: 2.0 + number % 2 for number in range(1, 8)}
    models = {2.0: half_plus_two, 3.0: half_plus_three}
    versions(base_path, models[plus[2]], 2)
    shutil.rmtree(base_path / "1")
    versions(base_path, models[plus[1]], 1)
    client.reload(config(base_path, 2, stable=2) | {"version_labels": {}})
    client.reload(config(base_path, 2, stable=2))
    stop, counted = threading.Event(), [0] * 4
    faults: list[object] = []
    pinned_to = [2]

    def load(at: int) -> None:
        with client_of(running) as own:
            while not stop.is_set():
                spec = {"name": "default"} | ({"version_label": "stable"} if at % 2 else {})
                allowed = set(pinned_to)
                try:
                    answer = own.predict(spec, x=floats(0.0))
                except grpc.RpcError as error:
                    faults.append(refusal(error))
                    return
                version = answer.model_spec.version.value
                said = float(from_proto(answer.outputs["y"])[0])
                if said != plus[version]:
                    faults.append(f"{said} by version {version}")
                if at % 2 and version not in allowed | set(pinned_to):
                    faults.append(f"pinned to {pinned_to}, answered by {version}")
                counted[at] += 1

    callers = [threading.Thread(target=load, args=(at,)) for at in range(4)]
    for caller in callers:
        caller.start()
    for number in range(3, 8):
        versions(base_path, models[plus[number]], number)
        client.reload(config(base_path, number - 1, number, stable=number - 1))
        pinned_to.append(number)
        client.reload(config(base_path, number - 1, number, stable=number))
        pinned_to.remove(number - 1)
        client.reload(config(base_path, number, stable=number))
    stop.set()
    for caller in callers:
        caller.join()
    assert faults == []
    assert min(counted) > 5
