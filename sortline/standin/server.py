"""The whole stand-in: ports opened first, then models loaded, until somebody says stop."""

import asyncio
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio
from aiohttp import web

from sortline.client.model_config import ModelSettings, read_config_file
from sortline.client.server_status import StatusError
from sortline.core.errors import ServingError, SortlineError
from sortline.standin.grpc_services import handlers
from sortline.standin.monitoring import Monitoring
from sortline.standin.registry import Registry
from sortline.standin.rest import RestServer
from sortline.standin.service import ComputePool, Service

if TYPE_CHECKING:  # It starts this module, once the flags are right.
    from sortline.standin.model_server import Flags

HOST: Final = "127.0.0.1"
_MAX_REQUEST_BYTES: Final = 64 << 20
# Python's share of a request runs beside TensorFlow's share of another.
WORKERS: Final = 2 * (os.cpu_count() or 1)
QUEUE: Final = 128  # Half a second of a laptop: who waits longer is late for most callers.
_GRACE_S: Final = 5.0
# Two servers on one port would share its calls: a second one must fail instead.
_OPTIONS: Final[dict[str, Any]] = {
    "grpc.max_receive_message_length": _MAX_REQUEST_BYTES,
    "grpc.so_reuseport": 0,
}


def say(line: str) -> None:
    """One line of log, on stderr."""
    print(f"model_server: {line}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Addresses:
    """Where it listens, once it does."""

    grpc: str
    rest: str | None


def _taken(port: int, flag: str, error: Exception) -> ServingError:
    where = f"{HOST}:{port}"
    return ServingError(
        "UNAVAILABLE",
        where,
        f"{where} cannot be listened on ({error}). Stop what does, or give another {flag}.",
    )


class Server:
    """A stand-in that has not started yet; everything in here runs on one event loop.

    Args:
        flags: the command line.
        workers: how many requests are in TensorFlow at once.
        queue: how many more may wait.

    Raises:
        ParamsError: a file that a flag names cannot be used.
        StatusError: the model config file lists what cannot be served.
    """

    def __init__(self, flags: "Flags", *, workers: int = WORKERS, queue: int = QUEUE) -> None:
        self._flags = flags
        self._first = _listed(flags)
        self._monitoring = Monitoring()
        # Who waits for a batch does it in a thread.
        self._pool = ComputePool(*((workers + queue, 0) if flags.batching else (workers, queue)))
        self.registry = Registry(
            self._monitoring,
            flags.batching,
            allow_unavailable_labels=flags.allow_version_labels_for_unavailable_models,
            say=say,
        )
        self._service = Service(self.registry, self._pool, self._monitoring)
        self._grpc: grpc.aio.Server | None = None
        self._rest: web.AppRunner | None = None
        self._polls: list[asyncio.Task[None]] = []

    async def start(self) -> Addresses:
        """Say what is not honoured and open the ports; nothing is loaded yet.

        Raises:
            ServingError: a port is taken.
        """
        for name in self._flags.batching.ignored if self._flags.batching else ():
            say(f"{name} of --batching_parameters_file changes nothing in this stand-in")
        port = await self._open_grpc()
        if self._flags.rest_api_port is None:
            return Addresses(f"{HOST}:{port}", None)
        return Addresses(f"{HOST}:{port}", f"{HOST}:{await self._open_rest()}")

    async def _open_grpc(self) -> int:
        options = {**_OPTIONS, **dict(self._flags.grpc_channel_arguments)}
        server = grpc.aio.server(options=list(options.items()))
        server.add_generic_rpc_handlers(handlers(self._service, self.registry))
        try:
            port = server.add_insecure_port(f"{HOST}:{self._flags.port}")
            if self._flags.grpc_socket_path:
                server.add_insecure_port(f"unix:{self._flags.grpc_socket_path}")
        except RuntimeError as error:
            raise _taken(self._flags.port, "--port or --grpc_socket_path", error) from error
        await server.start()
        self._grpc = server
        return port

    async def _open_rest(self) -> int:
        metrics_path = self._flags.metrics_path
        rest = RestServer(self._service, self._monitoring, metrics_path, _MAX_REQUEST_BYTES)
        self._rest = web.AppRunner(rest.application, access_log=None, shutdown_timeout=_GRACE_S)
        await self._rest.setup()
        port = self._flags.rest_api_port or 0
        try:
            await web.TCPSite(self._rest, HOST, port).start()
        except OSError as error:
            raise _taken(port, "--rest_api_port", error) from error
        address: tuple[str, int] = self._rest.addresses[0]
        return address[1]

    async def load(self) -> None:
        """Load what the flags name, and begin to poll.

        Raises:
            StatusError: a model has versions, none of which can be loaded, or a label is refused.
        """
        if self._flags.file_system_poll_wait_seconds >= 0:
            try:
                await self.registry.apply(self._first)
            except StatusError as error:
                # An empty base path is waited for, as the real server does.
                is_broken = self.registry.catalogue.will_not_recover
                if is_broken or error.code is not grpc.StatusCode.UNKNOWN:
                    raise
                say(str(error))
        polls = [(self._flags.file_system_poll_wait_seconds, self.registry.poll)]
        if self._flags.model_config_file:
            polls.append((self._flags.model_config_file_poll_wait_seconds, self._reread))
        self._polls = [asyncio.create_task(_repeat(s, work)) for s, work in polls if s > 0]

    async def _reread(self) -> None:
        listed = _listed(self._flags)
        if listed != self.registry.catalogue.settings:
            await self.registry.apply(listed)

    async def stop(self) -> None:
        """Let the calls under way end, close the ports, free the models."""
        for task in self._polls:
            task.cancel()
        await asyncio.gather(*self._polls, return_exceptions=True)
        self.registry.end_watches()
        if self._grpc is not None:
            await self._grpc.stop(_GRACE_S)
        if self._rest is not None:
            await self._rest.cleanup()
        await self.registry.close()
        self._pool.close()


def _listed(flags: "Flags") -> dict[str, ModelSettings]:
    if flags.model_config_file:
        return read_config_file(flags.model_config_file)
    if flags.model_base_path is None:
        return {}
    return {flags.model_name: ModelSettings(flags.model_name, str(flags.model_base_path))}


async def _repeat(seconds: int, work: Callable[[], Awaitable[None]]) -> None:
    last = ""
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except SortlineError as error:
            if str(error) != last:  # Once is enough, however often it is looked at again.
                last = str(error)
                say(last)
        except Exception:  # A defect must not end the looking, which nobody would notice.
            traceback.print_exc()
