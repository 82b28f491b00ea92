"""Nobody who calls notices that versions change."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
from helpers.served_models import Client, Running, client_of, floats, refusal, standin, versions
from helpers.served_models import model_config as config

from sortline.client.tensors import from_proto


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
