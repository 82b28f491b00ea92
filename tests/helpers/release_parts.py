"""Parts of the tests of releases: candidates, and a proxy that does to requests what it is told."""

import functools
import http.client
import shutil
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from sortline.core.files import digest_tree, write_json
from sortline.core.params import overlay, read_yaml
from sortline.core.paths import Paths
from sortline.core.storage import Limits
from sortline.model.contract import (
    Contract,
    Preprocessing,
    model_digest,
    signatures,
    write_contract,
)
from sortline.orchestration.params import Params, check
from sortline.releases.admission import prepare_lineage, read_candidate
from sortline.releases.publish import Published, publish, publishing
from sortline.releases.store import Store

WARM_UP = "assets.extra/tf_serving_warmup_requests"
LABELS = ("blue", "green", "red")
LIMITS = Limits(5.0, 2)
REPOSITORY = Path(__file__).resolve().parents[2]


@functools.cache
def _own_settings() -> dict[str, Any]:
    return read_yaml(REPOSITORY / "params.yaml")


def settings(**sections: dict[str, object]) -> Params:
    """params.yaml with some values replaced."""
    return check(overlay(_own_settings(), sections))


def contract() -> Contract:
    """What a model of three labels promises."""
    return Contract(
        format_version=1,
        signatures=signatures(len(LABELS), 32),
        labels=LABELS,
        preprocessing=Preprocessing(
            image_size_px=32,
            resize="bilinear",
            scale=1.0,
            offset=0.0,
            max_pixels=1_000_000,
            formats=("png",),
            exif_orientation="ignored",
        ),
        temperature=1.0,
        train_class_counts=dict.fromkeys(LABELS, 10),
        versions={"tensorflow": "2.20.0"},
        min_serving_version="2.20",
        model_digest="",
    )


def fake_model(folder: Path, mark: str) -> str:
    """A folder with the files of a SavedModel and a true contract; its digest."""
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(f"graph {mark}".encode())
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(mark.encode() * 1000)
    return write_contract(folder, contract()).model_digest


class Candidates:
    """A repository's folder with what `publish` reads."""

    def __init__(self, root: Path, now: datetime) -> None:
        self.paths, self.now = Paths(root), now
        self.folder = root / "artifacts" / "version"
        self.locks = root / ".sortline" / "publish"

    def make(self, mark: str = "a") -> Path:
        """Put a new model there, with both blessings."""
        shutil.rmtree(self.folder, ignore_errors=True)
        fake_model(self.folder, mark)
        (self.folder / WARM_UP).write_bytes(b"requests")
        self.bless()
        return self.folder

    def take(self, model: Path) -> Path:
        """Put a copy of a model there, with both blessings."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(model, self.folder)
        self.bless()
        return self.folder

    def bless(self, **server: Any) -> None:
        """Write both blessings of what is there."""
        digest = model_digest(self.folder)
        verdict = {"gate": "min_accuracy", "passed": True, "observed": 0.9, "required": 0.8}
        gates = {"blessed": True, "candidate": digest, "champion": None}
        verdicts = [{**verdict, "reason": "accuracy 0.9"}]
        write_json(self.paths.reports / "blessing.json", {**gates, "verdicts": verdicts})
        judged = {
            "blessed": True,
            "model_digest": digest,
            "version_digest": digest_tree(self.folder),
            "server": {"kind": "tensorflow_model_server", "version": "2.21.0"},
            "warmup": {"records": 1, "ran": True},
            "images": 3,
            "max_difference": 0.0,
            "reason": "",
        }
        write_json(self.paths.reports / "infra_blessing.json", {**judged, **server})
        metrics = {"accuracy": 0.9, "macro_f1": 0.8, "ece": 0.02, "images": 30, "secret": 1}
        target = self.paths.reports / "evaluation" / "metrics.json"
        write_json(target, {**metrics, "model_digest": digest})

    def publish(self, store: Store, override: str | None = None, **changes: Any) -> Published:
        """Publish what is there."""
        candidate = read_candidate(self.paths)
        values = settings(publish=changes).publish
        lineage = prepare_lineage(self.paths, candidate, values.serving_version, self.now, override)
        with publishing(self.locks, self.now, values.claim_s) as by:
            return publish(store, candidate, lineage, by)


Fault = str  # pass, error, reset, lost, cut, stall
Script = Callable[[int, str, str], Fault]


def _always_pass(_number: int, _method: str, _path: str) -> Fault:
    return "pass"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Header and body in one packet: or each answer waits for an acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    proxy: "FaultyProxy"

    def log_message(self, *arguments: Any) -> None:
        pass

    def handle_expect_100(self) -> bool:
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=30)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "expect":
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            reply = upstream.getresponse()
            return reply.status, reply.getheaders(), reply.read()
        finally:
            upstream.close()

    def _reset(self) -> None:
        # Linger of zero: the client gets a reset, not an orderly end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault, answer = self.proxy.handle(self.command, self.path, lambda: self._forward(body))
        if answer is None:
            if fault == "stall":
                self.proxy.released.wait(30)
            self._reset()
            return
        self._reply(*answer, cut=fault == "cut")

    def _reply(
        self, status: int, headers: list[tuple[str, str]], data: bytes, *, cut: bool
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        length = headers_length(headers) if self.command == "HEAD" else len(data)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        self.wfile.flush()
        if cut:
            self._reset()

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = _serve  # noqa: N815


def headers_length(headers: list[tuple[str, str]]) -> int:
    """The Content-Length among headers, 0 without one."""
    return int(next((v for k, v in headers if k.lower() == "content-length"), "0"))


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self._open: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def disconnect(self) -> None:
        """End what clients have left open: its threads would wait for more."""
        for request in list(self._open):
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that has given up is what these tests are about.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


Answer = tuple[int, list[tuple[str, str]], bytes]


class FaultyProxy(AbstractContextManager["FaultyProxy"]):
    """Stands before an S3 server and lets requests through one at a time, or does not.

    Faults: `error` (status 500), `reset` (the connection breaks before the server hears of it),
    `lost` (the server does it, and its answer never comes), `cut` (half of the answer comes),
    `stall` (nothing comes, and the connection stays).
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.released = threading.Event()
        self._lock = threading.Lock()
        self._script: Script = _always_pass
        self.seen: list[str] = []
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Server(handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def address(self) -> str:
        """Where clients connect to."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.disconnect()
        self._server.server_close()

    def behave(self, script: Script = _always_pass) -> None:
        """Count requests from 1 again, and ask `script` about each."""
        self.released.set()
        with self._lock:
            self.released = threading.Event()
            self._script, self.seen = script, []

    def handle(
        self, method: str, path: str, forward: Callable[[], Answer]
    ) -> tuple[Fault, Answer | None]:
        """What becomes of a request; no answer: the connection breaks."""
        with self._lock:
            self.seen.append(f"{method} {path}")
            fault = self._script(len(self.seen), method, path)
            if fault == "error":
                return fault, (500, [("Content-Type", "text/plain")], b"told to fail")
            if fault in ("reset", "stall"):
                return fault, None
            answer = forward()
        return fault, None if fault == "lost" else answer
