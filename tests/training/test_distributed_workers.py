"""Two workers, real processes on loopback: what one learns, and what a lost one does to the other.

Each worker has a folder of its own, as pods have.
"""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.workspaces import environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
_PROGRAM = Path(__file__).parents[1] / "helpers" / "worker_program.py"
_PHASE: dict[str, Any] = {
    "epochs": 4,
    "batch_size": 16,
    "optimizer": "adamw",
    "learning_rate": 0.001,
    "weight_decay": 0.01,
    "schedule": "constant",
    "warmup_epochs": 0,
    "label_smoothing": 0.1,
    "mixup_alpha": 0.2,
    "ema_momentum": 0.0,
    "early_stopping_patience": 3,
    "plateau_patience": 1,
    "plateau_factor": 0.5,
}


_STARTED: list["Worker"] = []


@pytest.fixture(autouse=True)
def _leave_none() -> Iterator[None]:
    yield
    for worker in _STARTED:
        if worker.process.poll() is None:
            worker.process.kill()
            worker.end()
    _STARTED.clear()


def _ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Worker:
    """One process."""

    def __init__(
        self, folder: Path, strategy: str, tf_config: dict[str, Any] | None = None, **changes: Any
    ) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        distribution = {"strategy": strategy, "timeout_s": changes.pop("timeout_s", 240.0)}
        settings = {"distribution": distribution, "phase": {**_PHASE, **changes}}
        variables = environment(
            TF_CPP_MIN_LOG_LEVEL="3",
            TF_CONFIG=json.dumps(tf_config or {}),
            PYTHONPATH=str(_PROGRAM.parents[1]),
        )
        with (folder / "stderr").open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(_PROGRAM), str(folder), json.dumps(settings)],
                env=variables,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        _STARTED.append(self)

    def wait_for(self, line: str) -> None:
        """Read what it prints up to a line."""
        assert self.process.stdout
        for said in self.process.stdout:
            if said.strip() == line:
                return
        raise AssertionError(f"it ended before {line!r}: {self.stderr()}")

    def wait_for_start(self, text: str) -> None:
        """Read what it prints up to a line that starts with a text."""
        assert self.process.stdout
        assert any(said.startswith(text) for said in self.process.stdout), self.stderr()

    def end(self) -> int:
        """Wait for its end; its exit status."""
        with self.process:
            self.process.stdout.read()  # type: ignore[union-attr]
        return self.process.returncode

    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def figures(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "figures.json").read_text())
        return found

    def weights(self) -> list[Any]:
        with np.load(self.folder / "weights.npz") as file:
            return [file[name] for name in file.files]


def _pair(folder: Path, **changes: Any) -> tuple[Worker, Worker]:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in _ports(2)]}
    first, second = (
        Worker(
            folder / f"worker-{index}",
            "workers",
            {"cluster": cluster, "task": {"type": "worker", "index": index}},
            **changes,
        )
        for index in range(2)
    )
    return first, second


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Worker:
    worker = Worker(tmp_path_factory.mktemp("one"), "single")
    assert worker.end() == 0, worker.stderr()
    return worker


def _assert_same(worker: Worker, one: Worker) -> None:
    found, wanted = worker.figures()["history"], one.figures()["history"]
    assert len(found) == len(wanted)
    for row, other in zip(found, wanted, strict=True):
        for name in row.keys() - {"seconds"}:
            assert row[name] == pytest.approx(other[name], abs=1e-5), name
    for mine, theirs in zip(worker.weights(), one.weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5, rtol=0)


def test_two_devices_of_a_machine_learn_what_one_does(one: Worker, tmp_path: Path) -> None:
    worker = Worker(tmp_path / "both", "mirrored")
    assert worker.end() == 0, worker.stderr()
    _assert_same(worker, one)


def test_two_workers_learn_what_one_does_and_only_the_chief_writes(
    one: Worker, tmp_path: Path
) -> None:
    pair = _pair(tmp_path)
    assert [each.end() for each in pair] == [0, 0], [each.stderr() for each in pair]
    for worker in pair:
        _assert_same(worker, one)
    assert [each.figures()["chief"] for each in pair] == [True, False]
    assert (pair[0].folder / ".sortline" / "resume.safetensors").is_file()
    assert not (pair[1].folder / ".sortline").exists()


def test_a_lost_worker_ends_the_other_and_both_go_on_from_its_last_epoch(
    one: Worker, tmp_path: Path
) -> None:
    chief, other = _pair(tmp_path, epochs=4)
    other.wait_for("epoch 2")
    other.process.send_signal(signal.SIGKILL)
    assert other.end() == -signal.SIGKILL
    assert chief.end() == 75, chief.stderr()
    assert "A worker was lost during" in chief.stderr()
    assert "Traceback" not in chief.stderr()
    again = _pair(tmp_path)
    assert [each.end() for each in again] == [0, 0], [each.stderr() for each in again]
    for worker in again:
        _assert_same(worker, one)


def test_a_worker_that_never_comes_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in _ports(2)]}
    task = {"cluster": cluster, "task": {"type": "worker", "index": 0}}
    worker = Worker(tmp_path / "alone", "workers", task, timeout_s=3.0)
    worker.wait_for_start("Worker 0 of 2 waits at most 3 s (distribution.timeout_s)")
    # A stage's command reports either as lost.
    assert worker.end() in (75, -signal.SIGALRM), worker.stderr()
