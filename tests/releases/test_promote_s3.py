"""A store in a bucket: its config file moves by conditional writes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.promotion_parts import Releases
from helpers.release_parts import LIMITS, Candidates, FaultyProxy

from sortline.client.model_config import Served
from sortline.core.errors import BusyError, RefusedError, ReleaseError
from sortline.core.storage.s3 import S3Storage
from sortline.releases.store import CONFIG, open_store

pytest_plugins = ["helpers.release_fixtures", "helpers.promotion_fixtures"]


@pytest.fixture
def releases(
    s3: FaultyProxy,
    tmp_path: Path,
    targets: list[str],
    models: list[Path],
    candidates: Candidates,
) -> Iterator[Releases]:
    """Versions 1 and 2, which the servers see in a folder, as a mounted bucket would be."""
    with open_store("s3://models/waste", LIMITS) as store:
        found = Releases(store, targets, candidates)
        for number, model in enumerate(models[:2], 1):
            found.publish(model)
            shutil.copytree(model, tmp_path / "seen" / str(number))
        yield found


def promote(releases: Releases, version: int, tmp_path: Path) -> None:
    releases.promote(version, base_path=str(tmp_path / "seen"))


def test_promote_and_rollback(releases: Releases, tmp_path: Path) -> None:
    promote(releases, 1, tmp_path)
    promote(releases, 2, tmp_path)
    assert releases.answers("stable") == [2, 2]
    assert releases.served() == Served(frozenset({1, 2}), {"canary": 2, "stable": 2})
    assert releases.rollback() == (2, 1)
    assert releases.answers("stable") == [1, 1]


def test_of_two_promoters_one_is_told(releases: Releases, tmp_path: Path) -> None:
    promote(releases, 1, tmp_path)
    found = releases.store.read(CONFIG)
    assert found is not None
    releases.store.write(CONFIG, found.data + b"# theirs\n", found.tag)
    with pytest.raises(BusyError, match="changed by somebody else"):
        releases.store.write(CONFIG, found.data + b"# ours\n", found.tag)
    with pytest.raises(BusyError):
        releases.store.write(CONFIG, b"# first\n", None)
    now = releases.store.read(CONFIG)
    assert now is not None
    assert now.data.endswith(b"# theirs\n")


def test_an_answer_that_is_lost_is_not_taken_for_somebody_else(
    releases: Releases, s3: FaultyProxy
) -> None:
    s3.behave(lambda count, _method, _path: "lost" if count == 1 else "pass")
    tag = releases.store.write(CONFIG, b"# ours\n", None)
    found = releases.store.read(CONFIG)
    assert found is not None
    assert (found.data, found.tag) == (b"# ours\n", tag)


def test_a_damaged_object_is_refused(releases: Releases, tmp_path: Path) -> None:
    assert isinstance(releases.store.storage, S3Storage)
    client = releases.store.storage.client
    client.put_object(Bucket="models", Key="waste/1/saved_model.pb", Body=b"other")
    with pytest.raises(RefusedError, match=r"saved_model\.pb was changed"):
        promote(releases, 1, tmp_path)
    client.put_object(Bucket="models", Key="waste/2/../x", Body=b"other")
    with pytest.raises(ReleaseError, match="which is no path"):
        promote(releases, 2, tmp_path)


def test_an_s3_that_goes_away_in_the_middle_is_said_and_the_replicas_are_put_back(
    releases: Releases, s3: FaultyProxy, tmp_path: Path
) -> None:
    promote(releases, 1, tmp_path)

    def break_off(name: str) -> None:
        if name == "stable":
            s3.behave(lambda *_: "error")

    with pytest.raises(ReleaseError, match="the config file is not as it was"):
        releases.promote(2, step=break_off)
    s3.behave()
    assert releases.answers("stable") == releases.answers("canary") == [1, 1]
    assert releases.served().stable == 1
    promote(releases, 2, tmp_path)
    assert releases.answers("stable") == [2, 2]
