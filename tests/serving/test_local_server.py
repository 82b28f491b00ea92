"""A server is started, waited for and stopped, whichever it is and however the work on it ends."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from helpers.served_models import Client, client_of, standin, versions

from sortline.client.messages import message
from sortline.core.errors import ParamsError, ServingError
from sortline.serving import server_program
from sortline.serving.local_server import (
    Readiness,
    RunningServer,
    free_port,
    judge,
    readiness,
    running_server,
)
from sortline.serving.serve import announcement, sources
from sortline.serving.server_program import Models, Program, choose_program

STAND_IN = Program("stand-in", "test")
# The real binary's command line and its answer to --version; every model is available.
REAL = f"""#!{sys.executable}
import sys
if "--version" in sys.argv:
    print("TensorFlow ModelServer: 2.99.1-rc0+dev\\nTensorFlow Library: 2.99.1")
    sys.exit()
from concurrent.futures import ThreadPoolExecutor
import grpc
from sortline.client.messages import MODEL_SERVICE, methods_of
flags = dict(flag.removeprefix("--").split("=") for flag in sys.argv[1:])
assert flags.keys() == {{"port", "rest_api_port", "max_num_load_retries", "model_name",
                        "model_base_path"}} and "0" not in (flags["port"], flags["rest_api_port"])
request, response = methods_of(MODEL_SERVICE)["GetModelStatus"]
answer = response(model_version_status=[dict(version=1, state=30)])
handler = grpc.unary_unary_rpc_method_handler(
    lambda *_: answer, request.FromString, response.SerializeToString)
server = grpc.server(ThreadPoolExecutor(1))
server.add_generic_rpc_handlers(
    [grpc.method_handlers_generic_handler(MODEL_SERVICE, {{"GetModelStatus": handler}})])
server.add_insecure_port("127.0.0.1:" + flags["port"])
server.start()
print("Number of warmup records read: 3.", file=sys.stderr)
server.wait_for_termination()
"""
DOCKER = f"""#!{sys.executable}
import sys
sys.exit(0 if sys.argv[1] == "version" else 1)
"""


@pytest.fixture
def models(tmp_path: Path, half_plus_two: Path) -> Models:
    return Models("default", versions(tmp_path / "base", half_plus_two, 1))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is all of the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("SORTLINE_MODEL_SERVER", raising=False)
    return folder


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def test_the_real_server_is_taken_from_the_path_and_stopped_after_an_exception(
    path: Path, models: Models
) -> None:
    put(path, "tensorflow_model_server", REAL)
    program = choose_program()
    assert (program.kind, program.version) == ("tensorflow_model_server", "2.99.1-rc0+dev")
    seen: list[RunningServer] = []

    def work() -> None:
        with running_server(models, timeout_s=300, program=program) as server:
            seen.append(server)
            assert readiness(server.grpc, "default").readiness is Readiness.READY
            assert server.log.wait_for("warmup records read: 3", time.monotonic() + 60)
            assert server.log.warmup_records() == 3
            raise RuntimeError("in the middle of it")

    with pytest.raises(RuntimeError, match="in the middle of it"):
        work()
    assert seen[0].process.returncode == -signal.SIGTERM
    assert readiness(seen[0].grpc, "default").readiness is Readiness.NOT_YET


def test_a_docker_without_the_image_leaves_the_stand_in(path: Path) -> None:
    put(path, "docker", DOCKER)
    assert choose_program().kind == "stand-in"


def test_a_container_sees_every_base_path_and_the_config_file_where_they_are(
    tmp_path: Path,
) -> None:
    config = tmp_path / "models.config"
    config.write_text(
        'model_config_list { config { name: "a" base_path: "/models/a" }'
        f' config {{ name: "b" base_path: "{tmp_path}" }} }}'
    )
    program = Program("docker", "2.21.0", "tensorflow/serving:2.21.0", "c1")
    models = Models(config_file=config)
    command = program.command(models, 9000, 9001)
    # A file that is mounted alone stays what it was when another takes its place.
    assert [part for part in command if part.startswith("--volume")] == [
        f"--volume={folder}:{folder}:ro" for folder in (tmp_path.resolve(), "/models/a")
    ]
    assert [part for part in command if part.startswith("--publish")] == [
        "--publish=127.0.0.1:9000:8500",
        "--publish=127.0.0.1:9001:8501",
    ]
    image = command.index("tensorflow/serving:2.21.0")
    assert command[image + 1 :] == [
        "--port=8500",
        "--rest_api_port=8501",
        "--max_num_load_retries=0",
        f"--model_config_file={config.resolve()}",
    ]
    assert models.names() == ["a", "b"]


def test_what_is_asked_for_must_be_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORTLINE_MODEL_SERVER", "docker")
    with pytest.raises(ServingError, match="'docker', which does not answer here"):
        choose_program()
    monkeypatch.setenv("SORTLINE_MODEL_SERVER", "tensorflow_model_server")
    with pytest.raises(ServingError, match="does not answer"):
        choose_program()
    put(path, "tensorflow_model_server", REAL)
    monkeypatch.setenv("SORTLINE_MODEL_SERVER", "stand-in")
    assert choose_program().kind == "stand-in"
    monkeypatch.setattr(server_program, "_ASK_S", 0.001)
    monkeypatch.setenv("SORTLINE_MODEL_SERVER", "")
    assert choose_program().kind == "stand-in", "a server that does not say its version in time"


def version(number: int, state: int, code: int = 0) -> object:
    status = {"error_code": code, "error_message": "broken"}
    kind = message("tensorflow.serving.ModelVersionStatus")
    return kind(version=number, state=state, status=status)


LOADING, AVAILABLE, END = 20, 30, 50


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([], Readiness.NOT_YET),
        ([version(1, LOADING)], Readiness.NOT_YET),
        ([version(1, AVAILABLE)], Readiness.READY),
        ([version(2, END, 2), version(1, AVAILABLE)], Readiness.READY),
        ([version(2, END, 2), version(1, LOADING)], Readiness.NOT_YET),
        ([version(1, END)], Readiness.NOT_YET),
        ([version(1, END, 2)], Readiness.NEVER),
    ],
)
def test_readiness_has_three_values(versions: list[object], expected: Readiness) -> None:
    assert judge(versions).readiness is expected


def test_a_server_that_is_up_without_a_model_is_not_ready(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    with standin(f"--model_base_path={tmp_path}/base") as running:
        assert readiness(running.at.grpc, "default").readiness is Readiness.NOT_YET
    assert readiness(f"127.0.0.1:{free_port()}", "default").readiness is Readiness.NOT_YET


def test_a_server_that_ends_is_not_waited_for_and_its_words_are_shown(
    path: Path, models: Models
) -> None:
    put(path, "tensorflow_model_server", "#!/bin/sh\necho no such operation >&2; exit 9\n")
    with (
        pytest.raises(ServingError) as error,
        running_server(models, timeout_s=600, program=Program("tensorflow_model_server", "")),
    ):
        pass
    assert "ended with exit code 9 before it was ready" in str(error.value)
    assert str(error.value).endswith("It said last:\nno such operation")


def test_one_deadline_covers_all_of_the_start(models: Models) -> None:
    with (
        pytest.raises(ServingError, match=r"did not begin to listen|was not ready in time"),
        running_server(models, timeout_s=0.05, program=STAND_IN),
    ):
        pass


def test_nothing_to_serve_and_a_program_that_is_not_there_are_said(models: Models) -> None:
    with (
        pytest.raises(ServingError, match="No model is named"),
        running_server(Models(), timeout_s=1, program=STAND_IN),
    ):
        pass
    absent = Program("tensorflow_model_server", "")
    with (
        pytest.raises(ServingError, match="tensorflow_model_server cannot be started"),
        running_server(models, timeout_s=1, program=absent),
    ):
        pass
    with pytest.raises(ParamsError, match="/no/such"):
        Models(config_file=Path("/no/such")).names()


def test_serve_starts_from_the_config_file_of_a_store_with_labels(
    tmp_path: Path, half_plus_two: Path
) -> None:
    base_path, file = versions(tmp_path / "base", half_plus_two, 1), tmp_path / "models.config"
    file.write_text(
        f'model_config_list {{ config {{ name: "m" base_path: "{base_path}"'
        ' version_labels { key: "stable" value: 1 } } }'
    )
    with (
        sources("unused", None, None, file) as models,
        standin(*models.arguments()) as running,
        client_of(running) as client,
    ):
        assert client.half_plus(2.0, name="m", version_label="stable") == 3.0


@pytest.mark.parametrize(
    ("listed", "said"), [("", "nothing yet"), ('config { name: "m" base_path: "/m" }', "m")]
)
def test_serve_says_what_it_serves_also_when_that_is_nothing_yet(
    tmp_path: Path, listed: str, said: str
) -> None:
    file = tmp_path / "models.config"
    file.write_text(f"model_config_list {{ {listed} }}")
    log: Any = None
    server = RunningServer("h:1", "h:2", STAND_IN, log, log)
    assert f"Serving {said} with stand-in" in announcement(server, Models(config_file=file))


_KILLED = """
import sys
from pathlib import Path
from sortline.serving.local_server import running_server
from sortline.serving.server_program import Models, Program

program = Program("tensorflow_model_server", "test")
with running_server(Models("m", Path(sys.argv[1])), timeout_s=60, program=program) as server:
    print(server.process.pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="others have no signal of a parent's death")
def test_a_server_does_not_outlive_who_started_it_and_was_killed(tmp_path: Path) -> None:
    put(tmp_path, "tensorflow_model_server", REAL)
    environment = {**os.environ, "PATH": str(tmp_path)}
    command = [sys.executable, "-c", _KILLED, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        server = os.pidfd_open(int(process.stdout.readline()))
        try:
            process.kill()
            assert select.select([server], [], [], 60)[0], "the server goes on without anybody"
        finally:
            os.close(server)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_serve_tells_people_what_to_do_and_stops_its_server_when_told_to(
    tmp_path: Path, half_plus_two: Path, number: int
) -> None:
    command = [sys.executable, "-m", "sortline", "serve", "--port=0", "--rest-port=0"]
    with subprocess.Popen(
        [*command, f"--saved-model={half_plus_two}"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = [next(process.stdout) for _ in range(7)]
        target = said[2].split()[1]
        assert said[0].startswith("Serving sortline with stand-in (")
        assert f"sortline predict photo.jpg --target {target}" in said[5]
        client = Client(target)
        with client.channel:
            assert client.states("sortline") == {1: "AVAILABLE"}
            process.send_signal(number)
            assert process.wait(60) == 0
            with pytest.raises(grpc.RpcError):
                client.states("sortline")
        assert process.stdout.read() == "\nStopped.\n"
