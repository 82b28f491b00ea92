"""Start a model server here, wait until it serves, and always stop it, also when we are killed.

with running_server(Models("sortline", base_path), timeout_s=60.0) as server:
    server.grpc, server.rest, server.program.kind, server.program.version
"""

import re
import shutil
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import IO, Any, Final

import grpc

from sortline.client import rpc
from sortline.client.messages import MODEL_SERVICE, message, name_of
from sortline.core.errors import ServingError
from sortline.core.interrupts import Interrupts
from sortline.serving.die_with_parent import dying_with_parent
from sortline.serving.server_program import Models, Program, choose_program

HOST: Final = "127.0.0.1"
# A proxy of the environment has no business between two processes of one machine.
LOOPBACK: Final = (("grpc.enable_http_proxy", 0),)
_STOP_S: Final = 15.0
_CALL_S: Final = 2.0
_PAUSE_S: Final = 0.1
_LOG_END_S: Final = 2.0
_LOG_LINES: Final = 2000
_LOG_TAIL_LINES: Final = 12
_LISTENING: Final = r"listening grpc=(\S+) rest=(\S+)"
_WARM_UP: Final = re.compile(r"Number of warmup records read: (\d+)")
_STATES: Final = "tensorflow.serving.ModelVersionStatus.State"


class ServerLog:
    """Reads a pipe to its end, in a thread of its own, so that the server never waits for us.

    Args:
        pipe: the server's stderr; closed when it has ended.
        echo: takes each line as well.
    """

    def __init__(self, pipe: IO[str], echo: Callable[[str], None] | None = None) -> None:
        self._pipe, self._echo = pipe, echo
        self._lines: deque[str] = deque(maxlen=_LOG_LINES)
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read, name="server log", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._pipe:
            for line in self._pipe:
                with self._changed:
                    self._lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
                if self._echo is not None:
                    self._echo(line)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, pattern: str, deadline: float) -> re.Match[str] | None:
        """The first match in any line; None when the pipe ends or the deadline passes first.

        Args:
            pattern: a regular expression.
            deadline: of `time.monotonic`.
        """
        with self._changed:
            while True:
                if match := self._search(re.compile(pattern)):
                    return match[0]
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    return None
                self._changed.wait(left)

    def _search(self, pattern: re.Pattern[str]) -> list[re.Match[str]]:
        return [match for line in self._lines if (match := pattern.search(line))]

    def warmup_records(self) -> int:
        """How many records all versions have played; both servers say it in the same words."""
        with self._changed:
            return sum(int(match[1]) for match in self._search(_WARM_UP))

    def tail(self) -> str:
        """The last lines, for an error message."""
        with self._changed:
            return "\n".join(list(self._lines)[-_LOG_TAIL_LINES:])

    def join(self, timeout_s: float | None = None) -> None:
        """Wait until the pipe has ended, after the server has."""
        self._thread.join(timeout_s)


class Readiness(Enum):
    """What a server says of its models."""

    READY = "ready"
    NOT_YET = "not yet"
    NEVER = "never"


@dataclass(frozen=True)
class Verdict:
    """Readiness, and why."""

    readiness: Readiness
    reason: str


@dataclass(frozen=True)
class RunningServer:
    """A server that answers.

    Attributes:
        grpc: HOST:PORT.
        rest: HOST:PORT.
        program: which server it is, and its version.
        log: what it has said so far.
        process: its process, or that of `docker run`.
    """

    grpc: str
    rest: str
    program: Program
    log: ServerLog
    process: "subprocess.Popen[str]"


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def judge(versions: Sequence[Any]) -> Verdict:
    """What a GetModelStatus answer's versions mean for somebody who waits for the model."""
    if any(name_of(_STATES, version.state) == "AVAILABLE" for version in versions):
        return Verdict(Readiness.READY, "available")
    failed = [v for v in versions if v.status.error_code and name_of(_STATES, v.state) == "END"]
    if failed and len(failed) == len(versions):
        reason = failed[0].status.error_message
        return Verdict(Readiness.NEVER, f"version {failed[0].version} cannot be loaded: {reason}")
    return Verdict(Readiness.NOT_YET, "still loading")


def readiness(target: str, model: str, timeout_s: float = _CALL_S) -> Verdict:
    """Ask a server once whether a model serves.

    Args:
        target: HOST:PORT of its gRPC.
        model: its name.
        timeout_s: for the answer.
    """
    request = message("tensorflow.serving.GetModelStatusRequest")()
    request.model_spec.name = model
    try:
        with rpc.open_channel(target, options=LOOPBACK) as channel:
            call = rpc.method(channel, MODEL_SERVICE, "GetModelStatus")
            return judge(call(request, timeout=timeout_s).model_version_status)
    except grpc.RpcError as error:
        # Before its first look at the base path a server knows no version of the model.
        return Verdict(Readiness.NOT_YET, rpc.code_of(error))


def _failure(program: Program, log: ServerLog, what: str) -> ServingError:
    tail = log.tail() or "(nothing)"
    return ServingError(
        "UNAVAILABLE",
        HOST,
        f"The model server ({program.kind}, {program.version}) {what}. It said last:\n{tail}",
    )


def _stop(process: "subprocess.Popen[str]", program: Program, log: ServerLog) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        program.end()
        log.join()


@contextmanager
def _process(
    program: Program,
    command: Sequence[str],
    echo: Callable[[str], None] | None,
    interrupts: Interrupts,
) -> Iterator[tuple["subprocess.Popen[str]", ServerLog]]:
    if shutil.which(command[0]) is None:
        text = f"{command[0]} cannot be started: no such program is on the PATH."
        raise ServingError("UNAVAILABLE", HOST, text)
    # A session of its own: Ctrl-C is for us, who stop it in order.
    process = subprocess.Popen(
        dying_with_parent(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    if process.stderr is None:
        raise ServingError("INTERNAL", HOST, f"{command[0]} has no stderr to read.")
    log = ServerLog(process.stderr, echo)
    try:
        try:
            interrupts.let_through()
            yield process, log
        finally:
            interrupts.hold()
    finally:
        _stop(process, program, log)


def _wait(server: RunningServer, model: str, deadline: float) -> None:
    verdict = Verdict(Readiness.NOT_YET, "not asked")
    while verdict.readiness is not Readiness.READY:
        left = deadline - time.monotonic()
        if left <= 0:
            what = f"was not ready in time: {model} is {verdict.reason}"
            raise _failure(server.program, server.log, what)
        if (code := server.process.poll()) is not None:
            server.log.join(_LOG_END_S)
            what = f"ended with exit code {code} before it was ready"
            raise _failure(server.program, server.log, what)
        verdict = readiness(server.grpc, model, min(_CALL_S, left))
        if verdict.readiness is Readiness.NEVER:
            raise _failure(server.program, server.log, f"will never be ready: {verdict.reason}")
        if verdict.readiness is Readiness.NOT_YET:
            _pause(server.process, min(_PAUSE_S, left))


def _pause(process: "subprocess.Popen[str]", seconds: float) -> None:
    # A server that ends is noticed at once.
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _addresses(
    program: Program, log: ServerLog, ports: tuple[int, int], deadline: float
) -> tuple[str, str]:
    if program.kind != "stand-in":
        return f"{HOST}:{ports[0]}", f"{HOST}:{ports[1]}"
    match = log.wait_for(_LISTENING, deadline)
    if match is None:
        raise _failure(program, log, "did not begin to listen")
    return match[1], match[2]


@contextmanager
def running_server(
    models: Models,
    *,
    timeout_s: float,
    port: int = 0,
    rest_port: int = 0,
    program: Program | None = None,
    echo: Callable[[str], None] | None = None,
) -> Iterator[RunningServer]:
    """A model server for the length of the block; it is stopped however the block ends.

    Args:
        models: what it serves; all of them are waited for.
        timeout_s: for starting, loading and warming up together.
        port: for gRPC; 0: any.
        rest_port: for REST; 0: any.
        program: which server; the first that can be had if None.
        echo: takes each line of its log, in a thread.

    Raises:
        ServingError: it did not start, cannot load a model, or was not ready in time.
    """
    deadline = time.monotonic() + timeout_s
    chosen = program or choose_program()
    if chosen.kind == "stand-in":  # It can take any free port by itself, without a race.
        ports = (port, rest_port)
    else:
        ports = (port or free_port(), rest_port or free_port())
    with (
        Interrupts() as interrupts,
        _process(chosen, chosen.command(models, *ports), echo, interrupts) as (process, log),
    ):
        server = RunningServer(*_addresses(chosen, log, ports, deadline), chosen, log, process)
        for name in models.names():
            _wait(server, name, deadline)
        yield server
