"""Candidates that are quick to make, stores for them, and an S3 that can be made to fail."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from helpers.release_parts import LIMITS, Candidates, FaultyProxy
from helpers.s3_buckets import make_bucket, reset
from sortline.releases.store import Store, open_store

pytest_plugins = ["helpers.s3_server"]

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def proxy(moto: str) -> Iterator[FaultyProxy]:
    """In front of that server: one request at a time, and faults when asked for."""
    with FaultyProxy(moto) as running:
        yield running


@pytest.fixture
def s3(
    moto: str, proxy: FaultyProxy, clean_aws: None, monkeypatch: pytest.MonkeyPatch
) -> FaultyProxy:
    """An S3 with the empty bucket `models`; the proxy that stands before it."""
    reset(moto)
    proxy.behave()
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
    make_bucket(moto, "models")
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
