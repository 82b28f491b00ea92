"""A harness written for the real binary can start the stand-in; a typing error cannot pass."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.served_models import Client, standin, versions

from sortline.client.server_status import StatusError
from sortline.core.errors import ParamsError, ServingError
from sortline.standin.batching import BatchingParameters
from sortline.standin.model_server import parse_flags

BASE = "--model_base_path=/models/m"


def test_both_spellings_and_every_flag(tmp_path: Path) -> None:
    monitoring, batching = tmp_path / "monitoring", tmp_path / "batching"
    monitoring.write_text('prometheus_config { enable: true path: "/m" }')
    batching.write_text("max_batch_size { value: 7 }")
    flags = parse_flags(
        [
            "--port",
            "8600",
            "--rest_api_port=8601",
            "--model_name=m",
            BASE,
            "--model_config_file=/c",
            "--model_config_file_poll_wait_seconds=5",
            "--file_system_poll_wait_seconds=-1",
            f"--monitoring_config_file={monitoring}",
            "--enable_batching",
            f"--batching_parameters_file={batching}",
            "--grpc_channel_arguments=grpc.max_receive_message_length=9,grpc.x=y",
            "--grpc_socket_path=/tmp/s",
            "--allow_version_labels_for_unavailable_models=true",
            "--tensorflow_intra_op_parallelism=2",
        ]
    )
    assert flags is not None
    assert (flags.port, flags.rest_api_port, flags.model_name) == (8600, 8601, "m")
    assert flags.grpc_channel_arguments == (("grpc.max_receive_message_length", 9), ("grpc.x", "y"))
    assert flags.file_system_poll_wait_seconds == -1
    assert flags.allow_version_labels_for_unavailable_models
    assert flags.tensorflow_intra_op_parallelism == 2
    assert (flags.metrics_path, flags.batching) == ("/m", BatchingParameters(7))


def test_the_defaults_are_the_real_servers_but_for_threads() -> None:
    flags = parse_flags([BASE])
    assert flags is not None
    assert (flags.port, flags.rest_api_port, flags.model_name) == (8500, None, "default")
    assert (flags.file_system_poll_wait_seconds, flags.batching) == (1, None)
    assert flags.model_base_path == Path("/models/m")
    assert flags.tensorflow_intra_op_parallelism == 1  # Beside each other, not within.
    assert parse_flags([BASE, "--enable_batching=false"]) == flags
    assert parse_flags(["--version"]) is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "No model is named"),
        ([BASE, "--prot=1"], "--prot"),
        ([BASE, "--port=http"], "no port from 0 to 65535"),
        ([BASE, "--port=70000"], "no port"),
        ([BASE, "--enable_batching=maybe"], "neither true nor false"),
        ([BASE, "--grpc_channel_arguments=grpc.x"], "no NAME=VALUE"),
        ([BASE, "--port=8501", "--rest_api_port=8501"], "both 8501"),
        ([BASE, "--tensorflow_intra_op_parallelism=-1"], "no number from 0"),
        ([BASE, "stray"], "stray"),
        ([BASE, "--model_nam=x"], "--model_nam"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(ParamsError) as error:
        parse_flags(arguments)
    assert said in str(error.value)
    assert "lists the flags" in str(error.value) or "give" in str(error.value)


COMMAND = (sys.executable, "-m", "sortline.standin.model_server")


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
def started(tmp_path: Path, half_plus_two: Path) -> Iterator[Started]:
    base_path = versions(tmp_path / "base", half_plus_two, 1)
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
    started: Started, tmp_path: Path, half_plus_two: Path
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
    versions(tmp_path / "base", half_plus_two, 2)
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


def test_a_label_at_the_start_needs_the_flag(tmp_path: Path, half_plus_two: Path) -> None:
    versions(tmp_path / "base", half_plus_two, 1)
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
        assert running.server.registry.catalogue.settings["m"].labels == {"stable": 1}
