"""`python -m sortline.standin.model_server`, started as a harness starts the real binary."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.served_models import Client, half_plus, standin, versions

from sortline.client.server_status import StatusError
from sortline.core.errors import ServingError

COMMAND = (sys.executable, "-m", "sortline.standin.model_server")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return half_plus(tmp_path_factory.mktemp("model") / "m")


class Started:
    """The process, and its stderr line by line."""

    def __init__(self, *flags: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *flags], stderr=subprocess.PIPE, text=True, bufsize=1
        )
        assert self.process.stderr is not None
        self.lines = iter(self.process.stderr)

    def until(self, text: str) -> str:
        return next(line for line in self.lines if text in line)

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        rest = threading.Thread(target=lambda: list(self.lines))
        rest.start()
        code = self.process.wait(60)
        rest.join()
        return code


@pytest.fixture
def started(tmp_path: Path, model: Path) -> Iterator[Started]:
    base_path = versions(tmp_path / "base", model, 1)
    socket_path, batching = tmp_path / "s", tmp_path / "batching"
    batching.write_text("max_batch_size { value: 8 } pad_variable_length_inputs: true")
    server = Started(
        "--port=0",
        f"--model_base_path={base_path}",
        f"--grpc_socket_path={socket_path}",
        "--enable_batching",
        f"--batching_parameters_file={batching}",
    )
    yield server
    if server.process.poll() is None:
        server.end(signal.SIGKILL)
    assert server.process.stderr is not None
    server.process.stderr.close()


def test_it_says_where_it_listens_polls_its_base_path_and_ends_in_order(
    started: Started, tmp_path: Path, model: Path
) -> None:
    started.until("pad_variable_length_inputs of --batching_parameters_file changes nothing")
    line = started.until("listening")
    assert line.startswith("model_server: listening grpc=127.0.0.1:")
    assert line.endswith(" rest=-\n")
    started.until("default version 1: AVAILABLE")
    target = line.split("grpc=")[1].split()[0]
    for address in (target, f"unix:{tmp_path}/s"):
        client = Client(address)
        with client.channel:
            assert client.half_plus(2.0) == 3.0
    versions(tmp_path / "base", model, 2)
    started.until("default version 2: AVAILABLE")
    started.until("default version 1: END")
    with (
        pytest.raises(ServingError, match="cannot be listened on") as error,
        standin(f"--port={target.split(':')[1]}", f"--model_base_path={tmp_path}/base"),
    ):
        pass
    assert "give another --port" in str(error.value)
    assert started.end(signal.SIGTERM) == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(target.split(":")[1])), timeout=5)


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_ends_it_with_the_real_servers_words(tmp_path: Path) -> None:
    (tmp_path / "base" / "1").mkdir(parents=True)
    done = subprocess.run(
        [*COMMAND, "--port=0", f"--model_base_path={tmp_path}/base"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available" in last
    assert "Traceback" not in done.stderr


def test_an_unknown_flag_ends_it_before_anything_is_imported(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = subprocess.call([*COMMAND, "--model_base_path=/m", "--nope"])
    assert code == 2
    assert "--nope" in capfd.readouterr().err


def test_a_label_at_the_start_needs_the_flag(tmp_path: Path, model: Path) -> None:
    versions(tmp_path / "base", model, 1)
    config = tmp_path / "config"
    config.write_text(
        f'model_config_list {{ config {{ name: "m" base_path: "{tmp_path}/base"'
        ' version_labels { key: "stable" value: 1 } } }'
    )
    with pytest.raises(StatusError) as error, standin(f"--model_config_file={config}"):
        pass
    assert str(error.value) == (
        "FAILED_PRECONDITION: Request to assign label to version 1 of model m, which is not"
        " currently available for inference"
    )
    flag = "--allow_version_labels_for_unavailable_models"
    with standin(f"--model_config_file={config}", flag) as running:
        assert running.server.registry.catalogue.labels == {"m": {"stable": 1}}
