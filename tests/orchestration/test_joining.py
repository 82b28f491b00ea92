"""Two pods train one stage of a run together; the chief's result is the run's."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pod_machine import Pod

pytest_plugins = ["pod_fixtures"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
_CHANGES = {
    "distribution": {"strategy": "workers", "timeout_s": 600.0},
    "fine_tune_phase2": {"epochs": 1},
}


def _addresses() -> str:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ",".join(f"127.0.0.1:{port}" for port in ports)


def test_two_pods_train_a_stage_and_one_of_them_keeps_it(
    pod: Pod, s3: dict[str, str], tmp_path: Path
) -> None:
    run = ("--run-id", "together")
    pod.run(["retraining", "plan", *run, "--changes", json.dumps(_CHANGES)])
    for stage in ("validate", "augment", "warm_start", "train_phase1"):
        pod.run(["retraining", "stage", stage, *run])
    workers = _addresses()
    told = [
        {**s3, "SORTLINE_WORKERS": workers, "JOB_COMPLETION_INDEX": str(index)}
        for index in range(2)
    ]
    pods = [Pod(tmp_path / f"pod-{index}", each) for index, each in enumerate(told)]
    command = ["retraining", "stage", "fine_tune_phase2", *run]
    with ThreadPoolExecutor(2) as both:
        chief, other = both.map(lambda each: each.run(command), pods)
    assert "fine_tune_phase2 is done" in chief
    assert "worker 1 has done its part" in other
    assert "is done already" in Pod(tmp_path / "late", told[1]).run(command)
    assert "export is done" in pod.run(["retraining", "stage", "export", *run])
