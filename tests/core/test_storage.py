"""A folder, S3 and a cloud behind obstore do the same, and say what failed."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from helpers.release_parts import FaultyProxy
from obstore.store import MemoryStore

from sortline.core.errors import BusyError, DataError, ParamsError, ReleaseError
from sortline.core.storage import Limits, Storage, is_remote, open_storage
from sortline.core.storage.cloud import CloudStorage
from sortline.core.storage.s3 import S3Storage

pytest_plugins = ["helpers.release_fixtures"]

ONCE = Limits(5.0, 1)


@pytest.fixture(params=["folder", "s3", "cloud"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """An empty storage of each kind; obstore's own memory stands for Google's and Azure's."""
    if request.param == "cloud":
        yield CloudStorage("gs://models/a b", MemoryStore(), ReleaseError)
        return
    if request.param == "s3":
        request.getfixturevalue("s3")
    address = str(tmp_path / "store") if request.param == "folder" else "s3://models/a b"
    with open_storage(address, ONCE, error=ReleaseError) as opened:
        yield opened


def test_what_is_written_is_read_listed_copied_and_removed(
    storage: Storage, tmp_path: Path
) -> None:
    (tmp_path / "source").write_bytes(b"a file")
    assert storage.names() == []
    assert storage.read("none/at/all") is None
    storage.overwrite("x/one ü.json", b"1")
    storage.overwrite("x/one ü.json", b"2")
    storage.put("x/y/file", tmp_path / "source")
    storage.copy("x/y/file", "z/file")
    assert storage.names() == ["x/one ü.json", "x/y/file", "z/file"]
    assert storage.names("x") == ["x/one ü.json", "x/y/file"]
    there = storage.read("x/one ü.json")
    assert there is not None
    assert there.data == b"2"
    assert storage.sha256("z/file") == hashlib.sha256(b"a file").hexdigest()
    storage.save_all("x", tmp_path / "out")
    assert (tmp_path / "out" / "one ü.json").read_bytes() == b"2"
    assert (tmp_path / "out" / "y" / "file").read_bytes() == b"a file"
    storage.delete("z/file")
    storage.delete("z/file")
    assert storage.names("z") == []


def test_only_the_first_of_two_creates_a_file(storage: Storage) -> None:
    assert storage.create("records/1.json", b"mine")
    assert not storage.create("records/1.json", b"theirs")
    there = storage.read("records/1.json")
    assert there is not None
    assert there.data == b"mine"
    assert storage.names() == ["records/1.json"]


def test_what_somebody_else_changed_is_not_overwritten(storage: Storage) -> None:
    first = storage.replace("config", b"1", None)
    with pytest.raises(BusyError, match="changed by somebody else"):
        storage.replace("config", b"2", None)
    second = storage.replace("config", b"2", first)
    with pytest.raises(BusyError, match="changed by somebody else"):
        storage.replace("config", b"3", first)
    with pytest.raises(BusyError, match="changed by somebody else"):
        storage.remove("config", first)
    with pytest.raises(BusyError, match="changed by somebody else"):
        storage.replace("nothing", b"3", second)
    storage.remove("config", second)
    assert storage.read("config") is None
    assert [name for name in storage.names() if not name.endswith(".lock")] == []


def test_one_of_many_threads_takes_a_name(storage: Storage) -> None:
    taken: list[int] = []

    def take(number: int) -> None:
        if storage.create("taken", b"%d" % number):
            taken.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    there = storage.read("taken")
    assert there is not None
    assert [b"%d" % number for number in taken] == [there.data]


def test_a_write_of_somebody_else_under_way_is_told_from_a_failure(
    s3: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer: Any = {
        "Error": {"Code": "ConditionalRequestConflict"},
        "ResponseMetadata": {"HTTPStatusCode": 409},
    }

    def conflict(*_arguments: object, **_condition: str) -> str:
        raise ClientError(answer, "PutObject")

    with S3Storage("models", "", ONCE, ReleaseError) as storage:
        with monkeypatch.context() as patched:
            patched.setattr(storage, "_put", conflict)
            with pytest.raises(BusyError, match="changed by somebody else"):
                storage.replace("config", b"1", None)
            with pytest.raises(ReleaseError, match="ConditionalRequestConflict"):
                storage.create("config", b"1")  # Nobody knows whether there will be one.
        assert storage.create("config", b"1")


def test_a_missing_file_and_a_missing_bucket_are_two_things(s3: FaultyProxy) -> None:
    with open_storage("s3://models", ONCE, error=DataError) as models:
        assert models.read("x") is None
    with open_storage("s3://other/x", ONCE, error=DataError) as other:
        for ask in (other.names, lambda: other.read("x"), lambda: other.create("x", b"")):
            with pytest.raises(DataError, match=r"s3://other/x: .* failed: .*NoSuchBucket"):
                ask()


def test_marks_of_folders_are_no_files_and_a_key_that_leads_out_is_refused(
    s3: FaultyProxy, tmp_path: Path
) -> None:
    with open_storage("s3://models/x", ONCE, error=ReleaseError) as storage:
        for name in ("", "glass/", "glass/../../../out", "glass//a.jpg"):
            storage.overwrite(name, b"")
        assert storage.names() == ["glass/../../../out", "glass//a.jpg"]
        with pytest.raises(ReleaseError, match="which is no path"):
            storage.save_all("", tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    storage = open_storage(tmp_path / "file", error=ReleaseError)
    with pytest.raises(ReleaseError, match=r"writing x failed: .*with space left"):
        storage.create("x", b"")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "'' cannot be reached: it has to be a folder, s3://"),
        ("ftp://host/x", "'ftp://host/x' cannot be reached"),
        ("s3://", "s3:// names no bucket. Write s3://bucket/prefix"),
        ("gs:///x", "gs:///x names no bucket. Write gs://bucket/prefix"),
    ],
)
def test_an_address_that_is_none_is_said(address: str, said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        open_storage(address)


def test_a_file_address_is_a_folder(tmp_path: Path) -> None:
    assert open_storage(f"file://{tmp_path}").address == str(tmp_path)
    assert not is_remote(f"file://{tmp_path}")
    assert is_remote("az://container/x")


def test_no_library_of_a_provider_is_loaded_before_it_is_needed() -> None:
    program = (
        "import sys; from sortline.core.storage import open_storage; open_storage('s3://b/x');"
        "print([name for name in ('boto3', 'obstore') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.decode().strip() == "[]"


def test_a_cloud_without_an_account_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    with pytest.raises(ReleaseError, match=r"az://container/x cannot be reached: .*[Aa]ccount"):
        open_storage("az://container/x", error=ReleaseError)


@pytest.fixture
def only_adding(moto: str, s3: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process asks as somebody who may add objects, and nothing else."""
    client = boto3.session.Session().client("iam", endpoint_url=moto)
    client.create_user(UserName="caller")
    may = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": may})
    client.put_user_policy(UserName="caller", PolicyName="add", PolicyDocument=policy)
    key = client.create_access_key(UserName="caller")["AccessKey"]
    client.close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    _check_rights_after(moto, b"0")
    yield
    _check_rights_after(moto, b"inf")


def _check_rights_after(moto: str, requests: bytes) -> None:
    headers = {"Content-Type": "text/plain"}
    address = f"{moto}/moto-api/reset-auth"
    urllib.request.urlopen(urllib.request.Request(address, data=requests, headers=headers)).close()


@pytest.mark.usefixtures("only_adding")
def test_who_may_only_add_writes_and_repeats_what_may_have_got_lost() -> None:
    with open_storage("s3://models/log", ONCE, error=ReleaseError) as storage:
        assert storage.create("1.parquet", b"rows")
        assert not storage.create("1.parquet", b"rows")
        with pytest.raises(ReleaseError, match="AccessDenied"):
            storage.read("1.parquet")
        with pytest.raises(ReleaseError, match="AccessDenied"):
            storage.names()
