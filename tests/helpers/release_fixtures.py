"""Candidates that are quick to make, stores for them, and an S3 that can be made to fail."""

import logging
import os
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
from helpers.release_parts import LIMITS, Candidates, FaultyProxy
from moto.server import ThreadedMotoServer

from sortline.releases.open_store import open_store
from sortline.releases.store import Store

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """Address of an S3 server on loopback."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()
        logging.getLogger("werkzeug").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def proxy(moto: str) -> Iterator[FaultyProxy]:
    """In front of that server: one request at a time, and faults when asked for."""
    with FaultyProxy(moto) as running:
        yield running


@pytest.fixture
def clean_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's own set-up is seen."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)


def reset(moto: str) -> None:
    """Empty the server, which keeps its buckets in this process."""
    with urllib.request.urlopen(f"{moto}/moto-api/reset", data=b"") as reply:
        assert reply.status == 200


@pytest.fixture
def s3(
    moto: str, proxy: FaultyProxy, clean_aws: None, monkeypatch: pytest.MonkeyPatch
) -> FaultyProxy:
    """An S3 with the empty bucket `models`; the proxy that stands before it."""
    reset(moto)
    proxy.behave()
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
    # Without a client of boto3, which takes longer to make than most of these tests.
    request = urllib.request.Request(f"{moto}/models", method="PUT")
    with urllib.request.urlopen(request) as reply:
        assert reply.status == 200
    return proxy


@pytest.fixture(params=["folder", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that does not exist yet: a folder, then a bucket's prefix."""
    if request.param == "folder":
        return str(tmp_path / "releases")
    request.getfixturevalue("s3")
    return "s3://models/releases/waste"


@pytest.fixture
def store(address: str) -> Iterator[Store]:
    """The same, opened."""
    with open_store(address, LIMITS) as opened:
        yield opened


@pytest.fixture
def folder_store(tmp_path: Path) -> Iterator[Store]:
    """A folder, for what has nothing to do with the kind of store."""
    with open_store(str(tmp_path / "releases"), LIMITS) as opened:
        yield opened


@pytest.fixture
def candidates(tmp_path: Path) -> Candidates:
    """Makes what `publish` takes."""
    return Candidates(tmp_path / "work", NOW)
