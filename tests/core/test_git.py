"""Git and DVC: what is asked of them, and what a user reads where they cannot answer."""

import os
from pathlib import Path

import pytest
from helpers.workspaces import git as run_git

from sortline.core.dvc import dvc, dvc_output, first_out, read_pin
from sortline.core.errors import ArtifactError, DataError, SortlineError, UnreachableError
from sortline.core.git import ask_git, checked_out, git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit of one file."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "file").write_text("one")
    run_git(folder, "init", "--quiet", "--initial-branch=main")
    run_git(folder, "add", "--all")
    run_git(folder, "commit", "--quiet", "--message", "first")
    return folder


def test_a_detached_head_has_a_commit_and_a_change_is_seen(repository: Path) -> None:
    run_git(repository, "checkout", "--quiet", "--detach")
    head = run_git(repository, "rev-parse", "HEAD").strip()
    assert checked_out(repository) == (head, False)
    (repository / "file").write_text("two")
    (repository / "unknown").write_text("git does not know it")
    assert checked_out(repository) == (head, True)


def test_a_folder_that_is_no_repository_has_no_commit(tmp_path: Path) -> None:
    assert checked_out(tmp_path) == (None, None)
    with pytest.raises(UnreachableError, match="not a git repository"):
        git(tmp_path, "rev-parse", "HEAD")


def test_a_repository_of_another_owner_is_left_alone(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("HOME", str(repository))  # No safe.directory of the one who tests.
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    assert checked_out(repository) == (None, None)
    with pytest.raises(SortlineError, match="dubious ownership"):
        git(repository, "rev-parse", "HEAD", error=SortlineError)


def test_a_hook_of_another_repository_does_not_lead_git_away(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert ask_git(repository, "rev-parse", "HEAD")


def test_without_git_records_do_without(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("python", "git"):
        if any((Path(folder) / name).exists() for folder in os.get_exec_path()):
            pytest.skip("git lies where Python looks anyhow")
    assert checked_out(repository) == (None, None)
    with pytest.raises(ArtifactError, match="git cannot be started"):
        git(repository, "status")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "pins no dataset"),
        ("outs: []\n", "pins no dataset"),
        ("outs:\n- path: data\n", "pins no dataset"),
        ("outs: [\n", "not YAML"),
        ("a plain sentence", "pins no dataset"),
    ],
)
def test_a_data_file_that_pins_nothing_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "data.dvc"
    with pytest.raises(DataError, match=r"There is no data\.dvc"):
        read_pin(path)
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_pin(path)


def test_a_dataset_is_known_by_what_dvc_counted(tmp_path: Path) -> None:
    path = tmp_path / "data.dvc"
    path.write_text("outs:\n- md5: 0a.dir\n  size: 7\n  nfiles: 2\n  path: data\n")
    assert read_pin(path).digest == "0a.dir"
    assert first_out({"outs": [{"md5": "0a.dir", "nfiles": 2}]})["nfiles"] == 2
    assert first_out(None) == {}


def test_what_dvc_refuses_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"`dvc status --json data.dvc` failed: .*not inside"):
        dvc_output(tmp_path, "status", "--json", "data.dvc", error=DataError)
    with pytest.raises(UnreachableError, match="It may work when it is run again"):
        dvc(tmp_path, "push")
