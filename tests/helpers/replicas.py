"""One replica of the deployment on loopback: the stand-in as its server, nginx as its proxy."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from helpers.rendered import named, render
from sortline.serving.local_server import free_port

HOST = "127.0.0.1"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@dataclass(frozen=True)
class Places:
    """Where the container's paths are on this machine."""

    root: Path

    def of(self, path: str) -> Path:
        """A path of the container, such as /etc/serving."""
        return self.root / path.lstrip("/")

    def lay(self, folder: str, data: dict[str, str]) -> None:
        """Mount a ConfigMap."""
        self.of(folder).mkdir(parents=True, exist_ok=True)
        for name, text in data.items():
            (self.of(folder) / name).write_text(text, encoding="utf-8")


@contextmanager
def places() -> Iterator[Places]:
    """A short folder: the path of a socket has room for about 100 characters."""
    with tempfile.TemporaryDirectory(prefix="sl-") as folder:
        yield Places(Path(folder))


def container(overlay: str, name: str) -> dict[str, Any]:
    """A container of the deployment."""
    spec = named(render(overlay), "Deployment", "serving")["spec"]["template"]["spec"]
    both = [*spec["containers"], *(spec.get("initContainers") or [])]
    return next(dict(each) for each in both if each["name"] == name)


def arguments(overlay: str, here: Places) -> list[str]:
    """The server's own arguments, with paths of this machine and any free port."""
    mounts = [each["mountPath"] for each in container(overlay, "server")["volumeMounts"]]
    found = []
    for argument in container(overlay, "server")["args"]:
        flag, _, value = argument.partition("=")
        if any(Path(value).is_relative_to(mount) for mount in mounts):
            value = str(here.of(value))
        found.append(f"{flag}=0" if flag == "--rest_api_port" else f"{flag}={value}")
    return found


@dataclass(frozen=True)
class Running:
    """The stand-in, and where it listens."""

    process: "subprocess.Popen[str]"
    rest: str


def _listening(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "listening" in line:
            return line.rpartition("rest=")[2].strip()
    raise AssertionError("".join(said))


@contextmanager
def model_server(flags: Sequence[str]) -> Iterator[Running]:
    """The stand-in, from the moment its ports are open; loading goes on meanwhile."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sortline.standin.model_server", *flags],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    drain = None
    try:
        rest = _listening(process)
        # Nobody reads what it says from here on, and it must not wait for a reader.
        drain = threading.Thread(target=lambda: list(process.stderr or ()))
        drain.start()
        yield Running(process, rest)
    finally:
        process.terminate()
        process.wait(30)
        if drain:
            drain.join()
        if process.stderr:
            process.stderr.close()


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey
) -> bytes:
    def called(common: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(called(name))
        .issuer_name(called(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True)
class Authority:
    """Who vouches for servers and clients."""

    key: ec.EllipticCurvePrivateKey
    certificate: bytes

    def vouch(self, name: str) -> tuple[bytes, bytes]:
        """A certificate and its key, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        encoding, none = serialization.Encoding.PEM, serialization.NoEncryption()
        pem = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, none)
        return _certificate(name, key, "authority", self.key), pem


def authority() -> Authority:
    """A new one, that nobody else trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Authority(key, _certificate("authority", key, "authority", key))


@contextmanager
def proxy(here: Places, vouching: Authority, overlay: str) -> Iterator[int]:
    """The deployment's nginx, started by its own command; the port that it listens on."""
    assert NGINX
    port, socket_path = free_port(), "/run/serving/grpc.sock"
    text = named(render(overlay), "ConfigMap", "proxy-config")["data"]["nginx.conf"]
    # All that differs here: the port, on loopback, and where the socket is.
    for ours, theirs in (
        ("listen 8500 ssl http2;", f"listen {HOST}:{port} ssl http2;"),
        (f"unix:{socket_path};", f"unix:{here.of(socket_path)};"),
    ):
        assert text.count(ours) == 1, ours
        text = text.replace(ours, theirs)
    here.lay("/etc/proxy", {"nginx.conf": text})
    certificate, key = vouching.vouch("serving.sortline-serving")
    files = {"tls.crt": certificate, "tls.key": key, "ca.crt": vouching.certificate}
    here.lay("/etc/proxy/tls", {name: pem.decode() for name, pem in files.items()})
    here.of("/tmp").mkdir()
    command = [
        f"{here.of(each)}{'/' * each.endswith('/')}" if each.startswith("/") else each
        for each in container(overlay, "proxy")["command"]
    ]
    if os.getuid() == 0:  # As in the pod: the workers are whom the socket belongs to.
        command[-1] += " user root;"
    process = subprocess.Popen([NGINX, *command[1:]], stderr=subprocess.PIPE, text=True)
    try:
        _wait_for(process, port)
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _wait_for(process: "subprocess.Popen[str]", port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        with suppress(OSError), closing(socket.create_connection((HOST, port), 1)):
            return
    raise AssertionError("nginx does not listen")
