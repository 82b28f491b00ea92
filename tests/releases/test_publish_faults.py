"""An S3 that fails at any call, a wrong secret, a killed publisher: no version; a repeat works."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import boto3
import pytest
from helpers.release_parts import Candidates, Fault, FaultyProxy, Script

from sortline.core.errors import BusyError, ReleaseError
from sortline.core.files import digest_tree
from sortline.core.storage import Limits
from sortline.core.storage.s3 import S3Storage
from sortline.releases.publish import publishing
from sortline.releases.records import LINEAGE, read_record
from sortline.releases.store import Store, open_store, record_name

pytest_plugins = ["helpers.release_fixtures"]

# Requests are tried once, so that every fault counts.
ONCE = Limits(20.0, 1)


@pytest.fixture
def bucket(s3: FaultyProxy) -> Iterator[S3Storage]:
    """A bucket whose client others can borrow: making one takes longer than a publication."""
    with S3Storage("models", "", ONCE, ReleaseError) as storage:
        yield storage


def below(bucket: S3Storage, prefix: str) -> Store:
    storage = S3Storage("models", prefix, ONCE, ReleaseError)
    storage.__dict__["client"] = bucket.client
    return Store(storage)


def keys(prefix: str, bucket: S3Storage | None = None) -> set[str]:
    client = bucket.client if bucket else boto3.client("s3")
    listed = client.list_objects_v2(Bucket="models", Prefix=prefix)
    if not bucket:
        client.close()
    return {entry["Key"].removeprefix(prefix) for entry in listed.get("Contents", [])}


def check_whole(store: Store, version: int, candidates: Candidates) -> None:
    with store.fetched(version) as folder:
        (folder / LINEAGE).unlink()
        assert digest_tree(folder) == digest_tree(candidates.folder)


def requests_of_a_publication(bucket: S3Storage, proxy: FaultyProxy, made: Candidates) -> list[str]:
    proxy.behave()
    made.publish(below(bucket, "counted"))
    return proxy.seen


def attempt(
    bucket: S3Storage, proxy: FaultyProxy, made: Candidates, script: Script, prefix: str
) -> bool:
    """Publish while `script` rules, then again without faults; whether the first one succeeded."""
    store = below(bucket, prefix)
    proxy.behave(script)
    try:
        made.publish(store)
        succeeded = True
    except (ReleaseError, BusyError):
        succeeded = False
    proxy.behave()
    if not succeeded:
        assert store.list().published == frozenset(), "a version that was not published is visible"
    again = made.publish(store)
    assert again.version == 1
    assert again.is_new is not succeeded
    check_whole(store, 1, made)
    left = {name for name in keys(f"{prefix}/", bucket) if name.startswith("_releases/")}
    assert left - {"_releases/1.saved_model.pb"} == {"_releases/.conditional", "_releases/1.json"}
    return succeeded


def at(number: int, fault: Fault) -> Script:
    return lambda count, _method, _path: fault if count == number else "pass"


def onward(number: int, fault: Fault) -> Script:
    return lambda count, _method, _path: fault if count >= number else "pass"


def test_an_s3_that_fails_or_goes_away_at_any_call_leaves_a_whole_version_or_none(
    bucket: S3Storage, s3: FaultyProxy, candidates: Candidates
) -> None:
    candidates.make()
    seen = requests_of_a_publication(bucket, s3, candidates)
    done = []
    for k in range(1, len(seen) + 1):
        script = onward(k, ("reset", "lost")[k % 4 // 2]) if k % 2 else at(k, "error")
        done.append(attempt(bucket, s3, candidates, script, f"at{k}"))
    assert not all(done), "no fault was noticed"


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["error", "reset", "lost", "cut", "stall"])
@pytest.mark.parametrize("lasting", [False, True])
def test_every_fault_at_every_call(
    bucket: S3Storage, s3: FaultyProxy, candidates: Candidates, fault: Fault, lasting: bool
) -> None:
    candidates.make()
    seen = requests_of_a_publication(bucket, s3, candidates)
    bucket.close()
    bucket._limits = Limits(2.0, 1) if fault == "stall" else ONCE
    for k in range(1, len(seen) + 1):
        script = (onward if lasting else at)(k, fault)
        attempt(bucket, s3, candidates, script, f"{fault}{lasting}{k}")


def test_an_s3_that_stalls_is_given_up(
    bucket: S3Storage, s3: FaultyProxy, candidates: Candidates
) -> None:
    candidates.make()
    bucket._limits = Limits(2.0, 1)

    def stall_the_graph(_count: int, method: str, path: str) -> Fault:
        return (
            "stall" if method == "PUT" and path.endswith("_releases/1.saved_model.pb") else "pass"
        )

    assert not attempt(bucket, s3, candidates, stall_the_graph, "stalled")


def test_a_fault_that_passes_is_not_noticed(s3: FaultyProxy, candidates: Candidates) -> None:
    candidates.make()
    failed: set[str] = set()

    def fail_each_once(_count: int, method: str, path: str) -> Fault:
        request = f"{method} {path}"
        if request in failed:
            return "pass"
        failed.add(request)
        return ("error", "reset", "cut")[len(failed) % 3]

    s3.behave(fail_each_once)
    with open_store("s3://models/flaky", Limits(20.0, 3)) as store:  # As in params.yaml.
        assert candidates.publish(store).version == 1
        check_whole(store, 1, candidates)


def test_bytes_that_come_back_changed_are_noticed(
    store: Store, candidates: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates.make()
    monkeypatch.setattr(store, "digest", lambda version, name: "0" * 64)
    with pytest.raises(ReleaseError, match="came back with the SHA-256 0000"):
        candidates.publish(store)
    assert store.list().occupied == store.list().recorded == frozenset()


def test_a_server_that_ignores_conditions_is_refused(
    bucket: S3Storage, s3: FaultyProxy, candidates: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates.make()
    client = bucket.client
    client.meta.events.register(
        "before-sign.s3.PutObject",
        lambda request, **_: request.headers.__delitem__("If-None-Match"),
    )
    with pytest.raises(ReleaseError, match="in spite of `If-None-Match"):
        candidates.publish(below(bucket, "deaf"))
    assert keys("deaf/") == {"_releases/.conditional"}


# A server that checks who asks.


def demand_signatures(moto: str, after: bytes) -> None:
    """How many requests are answered before signatures are looked at."""
    headers = {"Content-Type": "text/plain"}
    request = urllib.request.Request(f"{moto}/moto-api/reset-auth", data=after, headers=headers)
    urllib.request.urlopen(request).close()


@pytest.fixture
def signed(moto: str, s3: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server wants signatures of a user who may use S3; this process knows the secret."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    client = boto3.client("iam")
    client.create_user(UserName="publisher")
    may = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": may})
    client.put_user_policy(UserName="publisher", PolicyName="s3", PolicyDocument=policy)
    key = client.create_access_key(UserName="publisher")["AccessKey"]
    client.close()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # It remembers who asked.
    demand_signatures(moto, b"0")
    yield
    demand_signatures(moto, b"inf")


@pytest.mark.usefixtures("signed")
def test_a_server_that_checks_signatures_takes_ours(candidates: Candidates) -> None:
    candidates.make("sp ace & ü")
    with open_store("s3://models/signed", ONCE) as store:
        assert candidates.publish(store).version == 1
        check_whole(store, 1, candidates)


@pytest.mark.usefixtures("signed")
def test_a_wrong_secret_is_refused_and_said(
    candidates: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates.make()
    right = os.environ["AWS_SECRET_ACCESS_KEY"]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong" + right[5:])
    with (
        open_store("s3://models/signed", ONCE) as store,
        pytest.raises(ReleaseError, match="SignatureDoesNotMatch"),
    ):
        candidates.publish(store)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", right)
    assert keys("signed/") == set()


@pytest.mark.usefixtures("signed")
def test_a_dead_publication_of_who_may_not_delete_costs_a_number_and_no_more(
    candidates: Candidates, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    demand_signatures(moto, b"inf")
    forbid("publisher", "s3:DeleteObject")
    demand_signatures(moto, b"0")
    candidates.make()
    with open_store("s3://models/careful", ONCE) as store:
        with monkeypatch.context() as patched:
            patched.setattr(store, "commit", _unplugged)
            with pytest.raises(ReleaseError, match=r"cable.*Nor could.*AccessDenied"):
                candidates.publish(store)
        assert candidates.publish(store).version == 2
        check_whole(store, 2, candidates)
        candidates.make("next")
        assert candidates.publish(store).version == 3
        assert store.list().published == {2, 3}
    assert list(candidates.locks.iterdir()) == []


def forbid(user: str, action: str) -> None:
    client = boto3.client("iam")
    statement = {"Effect": "Deny", "Action": action, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
    client.put_user_policy(UserName=user, PolicyName="no", PolicyDocument=policy)
    client.close()


@pytest.mark.usefixtures("clean_aws")
def test_no_credentials_are_said(
    candidates: Candidates, monkeypatch: pytest.MonkeyPatch, moto: str
) -> None:
    candidates.make()
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with (
        open_store("s3://models/none", ONCE) as store,
        pytest.raises(ReleaseError, match="credentials"),
    ):
        candidates.publish(store)


@pytest.mark.usefixtures("clean_aws")
def test_an_address_that_is_none_is_said(
    candidates: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates.make()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:9000")
    with (
        open_store("s3://models/none", ONCE) as store,
        pytest.raises(ReleaseError, match="Invalid endpoint: localhost:9000"),
    ):
        candidates.publish(store)


# Publishers that die, or are believed dead.

_KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from helpers.release_parts import LIMITS, Candidates
from sortline.releases.store import open_store

candidates = Candidates(Path(sys.argv[1]), datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC))
with open_store(sys.argv[2], LIMITS) as store:
    method = getattr(type(store), sys.argv[3])
    def die(*arguments):
        if sys.argv[4] == "after":
            method(store, *arguments)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(store, sys.argv[3], die)
    candidates.publish(store)
"""


@pytest.mark.parametrize("moment", ["write after", "put after", "commit before"])
def test_a_killed_publisher_leaves_no_version_and_its_number_is_used_again(
    store: Store, candidates: Candidates, moment: str
) -> None:
    candidates.make()
    root, tests = candidates.paths.root, Path(__file__).parents[1]
    command = [sys.executable, "-c", _KILLED, str(root), store.address, *moment.split()]
    path = os.pathsep.join([str(tests), str(tests.parent)])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert store.list().published == frozenset()
    assert store.list().recorded == {1}
    assert candidates.publish(store).version == 1
    check_whole(store, 1, candidates)
    assert store.list().occupied == {1}
    assert list(candidates.locks.iterdir()) == []
    if "s3" not in store.address:
        assert sorted(p.name for p in Path(store.address).iterdir()) == ["1", "_releases"]


# A process for each change to the disk, which is killed before it makes that one.
_KILLED_ANYWHERE = """
import os, signal, sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from helpers.release_parts import LIMITS, Candidates
from sortline.releases.store import open_store

CHANGES = ("os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir")
WRITING = os.O_WRONLY | os.O_RDWR

def die_before(number, root):
    changes = count(1)
    def hook(event, arguments):
        change = event in CHANGES or (event == "open" and arguments[2] & WRITING)
        if change and str(arguments[0]).startswith(root) and next(changes) == number:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

for number in count(1):
    root = Path(sys.argv[1], str(number))
    candidates = Candidates(root, datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC))
    candidates.make()
    with open_store(str(root / "releases"), LIMITS) as store:
        child = os.fork()
        if not child:
            die_before(number, str(root))
            candidates.publish(store)
            os._exit(0)
        ended = os.waitpid(child, 0)[1]
        published = store.list().published if (root / "releases").is_dir() else frozenset()
        done = candidates.publish(store)
        assert (done.version, done.is_new) == (1, not published), f"killed at {number}: {done}"
        assert store.list().occupied == {1}
        left = sorted(path.name for path in (root / "releases").iterdir())
        assert left == ["1", "_releases"], left
    if not ended:
        break
print(number)
"""


@pytest.mark.slow
def test_a_publisher_killed_before_any_change_to_the_disk_loses_nothing(tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent)])
    done = subprocess.run(
        [sys.executable, "-c", _KILLED_ANYWHERE, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert int(done.stdout) > 30


def claim_of(store: Store, candidates: Candidates, locks: Path) -> None:
    """Leave the claim of a publisher who works, or died, on another machine."""
    candidates.make("theirs")
    try:
        other = Candidates(candidates.paths.root, candidates.now)
        other.locks = locks
        store.put = _unplugged  # type: ignore[method-assign,assignment]
        store.remove = _unplugged  # type: ignore[method-assign,assignment]
        store.discard = _unplugged  # type: ignore[method-assign,assignment]
        other.publish(store)
    except ReleaseError:
        for name in ("put", "remove", "discard"):
            store.__dict__.pop(name)
    assert store.list().recorded == {1}


def _unplugged(*arguments: object) -> None:
    raise ReleaseError("The cable was pulled.")


def test_the_claim_of_another_machine_is_respected_until_it_is_old(
    store: Store, candidates: Candidates, tmp_path: Path
) -> None:
    claim_of(store, candidates, tmp_path / "other machine")
    candidates.make("ours")
    assert candidates.publish(store).version == 2
    candidates.make("ours again")
    assert candidates.publish(store).version == 3


def test_an_old_claim_of_another_machine_is_taken_over(
    store: Store, candidates: Candidates, tmp_path: Path
) -> None:
    claim_of(store, candidates, tmp_path / "other machine")
    candidates.make("ours")
    candidates.now = candidates.now.replace(hour=5)
    assert candidates.publish(store).version == 1
    check_whole(store, 1, candidates)


def test_a_publisher_whose_number_was_taken_over_does_not_finish(
    store: Store, candidates: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates.make()
    digest = store.digest

    def digest_while_somebody_takes_over(version: int, name: str) -> str:
        found = read_record(store, version)
        assert found is not None
        if found[0].token != "somebody else":
            theirs = found[0].model_copy(update={"token": "somebody else"})
            store.write(record_name(version), theirs.to_bytes(), found[1])
        return digest(version, name)

    monkeypatch.setattr(store, "digest", digest_while_somebody_takes_over)
    with pytest.raises(ReleaseError, match="taken over by somebody else"):
        candidates.publish(store)
    assert store.list().published == frozenset()
    found = read_record(store, 1)
    assert found is not None
    assert found[0].token == "somebody else", "what is theirs was removed"


def test_who_cannot_tell_whose_a_number_is_removes_nothing_once_it_may_be_anothers(
    folder_store: Store, candidates: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, commit = folder_store, folder_store.commit

    def sleep_while_somebody_takes_over_and_publishes(version: int, sha256: str) -> None:
        found = read_record(store, version)
        assert found is not None
        theirs = found[0].model_copy(update={"token": "somebody else"})
        store.write(record_name(version), theirs.to_bytes(), found[1])
        commit(version, sha256)
        monkeypatch.setattr(store, "read", _unplugged)
        _unplugged()

    candidates.make()
    monkeypatch.setattr(store, "commit", sleep_while_somebody_takes_over_and_publishes)
    with pytest.raises(ReleaseError, match="cable"):
        candidates.publish(store, claim_s=0.001)
    assert store.list().published == {1}, "what somebody else published is gone"


def test_a_publisher_at_work_is_not_taken_for_dead(candidates: Candidates, tmp_path: Path) -> None:
    with publishing(tmp_path, candidates.now, 0.0) as by:
        assert (tmp_path / f"{by.token}.lock").exists()
        with pytest.raises(BusyError), open_lock(tmp_path / f"{by.token}.lock"):
            pass
    assert list(tmp_path.glob("*.lock")) == []


def open_lock(path: Path) -> AbstractContextManager[None]:
    from sortline.core.files import exclusive

    return exclusive(path, "It")
