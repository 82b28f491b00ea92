"""The run store: the same in a folder and in a bucket; a storage that is away is tried again."""

from pathlib import Path

import pytest
from helpers.s3_buckets import make_bucket

from sortline.core.errors import ArtifactError, ParamsError, UnreachableError
from sortline.orchestration.run_store import RunStore, safe_name
from sortline.orchestration.settings import task_settings

pytest_plugins = ["helpers.s3_server"]


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RunStore:
    if request.param == "folder":
        return RunStore(str(tmp_path / "store"))
    make_bucket(request.getfixturevalue("empty_s3"), "runs")
    return RunStore("s3://runs/store")


def test_what_is_written_is_read_and_what_is_not_there_is_none(store: RunStore) -> None:
    assert store.read("runs/a/plan.json") is None
    store.write("runs/a/plan.json", {"number": 1})
    store.write("runs/a/plan.json", {"number": 2})
    assert store.read("runs/a/plan.json") == {"number": 2}
    assert "runs/a/plan.json" in store.names("runs")


def test_folders_come_back_as_they_were(store: RunStore, tmp_path: Path) -> None:
    (tmp_path / "version" / "inner").mkdir(parents=True)
    (tmp_path / "version" / "inner" / "file").write_bytes(b"\x00\xff")
    store.put(tmp_path / "version", "runs/a/files/artifacts")
    store.get("runs/a/files", tmp_path / "back")
    assert (tmp_path / "back/artifacts/version/inner/file").read_bytes() == b"\x00\xff"


def test_a_torn_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"plan\.json is not JSON"):
        RunStore(str(tmp_path)).read("plan.json")


def test_a_storage_that_is_away_can_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where a folder has to be")
    with pytest.raises(UnreachableError, match="run the same command again"):
        RunStore(str(tmp_path / "store")).write("plan.json", {})


def test_names_of_runs_are_names_of_branches_and_labels() -> None:
    assert safe_name("manual__2026-11-21T10:00:00+00:00") == "manual--2026-11-21T10-00-00-00-00"


def test_a_missing_setting_is_named_with_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORTLINE_DVC_REMOTE", "remote")
    monkeypatch.delenv("SORTLINE_REPOSITORY", raising=False)
    with pytest.raises(ParamsError, match=r"SORTLINE_REPOSITORY is not set.*example"):
        task_settings()


def test_records_lie_beside_the_remote_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SORTLINE_REPOSITORY", "r")
    monkeypatch.setenv("SORTLINE_DVC_REMOTE", "s3://bucket/dvc/")
    monkeypatch.delenv("SORTLINE_RUN_STORE", raising=False)
    assert task_settings().run_store == "s3://bucket/dvc/sortline"
