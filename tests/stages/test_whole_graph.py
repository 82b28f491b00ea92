"""The graph as a user runs it: once, again, after a change, in another clone, and killed."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from helpers.workspaces import call, environment, git, make_workspace, write_params

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_KILLS = 20
_LONGEST_WAIT_S = 30.0


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose graph has run, undisturbed."""
    folder = make_workspace(tmp_path_factory.mktemp("graph") / "repository")
    call(folder, "dvc", "repro", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=run")
    return folder


def _stages_run(output: str) -> list[str]:
    lines = output.splitlines()
    return [line.split("'")[1] for line in lines if line.startswith("Running stage '")]


def _metrics(folder: Path) -> Any:
    return json.loads((folder / "reports/evaluation/metrics.json").read_text())


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        # The digest is of the SavedModel's bytes, which TensorFlow writes differently each time.
        return {k: _rounded(v) for k, v in value.items() if k != "model_digest"}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def _files(folder: Path) -> set[str]:
    skipped = (".git/", ".dvc/", "data/", ".sortline/features/")
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    kept = {n for n in names if not n.startswith(skipped) and "__pycache__" not in n}
    # Great Expectations names the pages of a run by its time.
    return {re.sub(r"/\d{8}T\d{6}\.\d+Z/", "/TIME/", n) for n in kept}


def test_a_second_repro_does_nothing(done: Path) -> None:
    assert _stages_run(call(done, "dvc", "repro").stdout) == []
    assert git(done, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        # Sections that can name a file of plugins/ have the lists of code made anew: seconds.
        ({"gate": {"min_accuracy": 0.123}}, ["code", "gate"]),
        ({"evaluate": {"worst_mistakes": 3}}, ["evaluate", "gate"]),
        ({"augment": {"preview_images": 3}}, ["code", "augment"]),
    ],
)
def test_one_setting_reruns_what_depends_on_it(
    done: Path, change: dict[str, object], expected: list[str]
) -> None:
    write_params(done, change)
    try:
        ran = _stages_run(call(done, "dvc", "repro").stdout)
    finally:
        git(done, "checkout", "--quiet", "params.yaml", "dvc.lock")
        call(done, "dvc", "checkout", "--quiet", "--force")
    assert ran == expected


def test_another_clone_computes_nothing_again(done: Path, tmp_path: Path) -> None:
    remote, clone, empty = tmp_path / "remote", tmp_path / "clone", tmp_path / "bin"
    call(done, "dvc", "remote", "add", "--default", "--force", "--local", "shared", str(remote))
    call(done, "dvc", "push", "--quiet", "--run-cache")
    subprocess.run(["git", "clone", "--quiet", str(done), str(clone)], check=True)
    git(clone, "rm", "--quiet", "dvc.lock")  # Restored by the run cache alone, as on a cluster.
    call(clone, "dvc", "remote", "add", "--default", "--local", "shared", str(remote))
    empty.mkdir()
    refusing = empty / "python"
    refusing.write_text("#!/bin/sh\necho a stage was run >&2\nexit 1\n")
    refusing.chmod(0o755)
    path = f"{empty}{os.pathsep}{environment()['PATH']}"
    call(clone, "dvc", "repro", "--quiet", "--pull", "gate", PATH=path)
    assert _metrics(clone) == _metrics(done)
    assert call(clone, "dvc", "status", PATH=path).stdout.strip().endswith("up to date.")


def test_a_stage_alone_pulls_its_own_splits(done: Path, tmp_path: Path) -> None:
    remote, clone = tmp_path / "remote", tmp_path / "clone"
    call(done, "dvc", "remote", "add", "--default", "--force", "--local", "shared", str(remote))
    call(done, "dvc", "push", "--quiet")
    subprocess.run(["git", "clone", "--quiet", str(done), str(clone)], check=True)
    call(clone, "dvc", "remote", "add", "--default", "--local", "shared", str(remote))
    write_params(clone, {"evaluate": {"worst_mistakes": 7}})
    ran = _stages_run(call(clone, "dvc", "repro", "--pull", "--single-item", "evaluate").stdout)
    assert ran == ["evaluate"]
    assert [folder.name for folder in (clone / "data").iterdir()] == ["test"]


def test_people_can_look_at_it(done: Path) -> None:
    assert "gate" in call(done, "dvc", "dag").stdout
    assert "accuracy" in call(done, "dvc", "metrics", "show").stdout
    call(done, "dvc", "metrics", "diff")
    shown = call(done, "dvc", "plots", "show", "--out", "plots").stdout
    page = Path(shown.strip().removeprefix("file://"))
    assert "Accuracy of both phases" in page.read_text()
    shutil.rmtree(done / "plots")


def _kill_group(process: "subprocess.Popen[bytes]") -> bool:
    """SIGKILL the whole group; True when it was still at work."""
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return running


def _forget(folder: Path) -> None:
    """Back to before the first run, but for data and features."""
    for name in ("artifacts", "reports", "dvc.lock", ".dvc/cache/runs"):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _mended(folder: Path, printed: str) -> bool:
    """Remove dvc.lock if DVC cannot read it, as the README says; True when that was so.

    DVC writes dvc.lock in place, for a third of a second a stage: a kill can fall into that.
    """
    torn = re.search(r"dvc\.lock' (is invalid|validation failed)", printed) is not None
    if torn:
        (folder / "dvc.lock").unlink()
    return torn


def test_kills_at_any_moment_change_nothing(done: Path, tmp_path: Path) -> None:
    expected, files = _rounded(_metrics(done)), _files(done)
    folder = tmp_path / "killed"
    shutil.copytree(done, folder, symlinks=True)
    _forget(folder)
    shutil.rmtree(folder / ".sortline")
    log = tmp_path / "log"
    moments = random.Random(20)
    kills = finished = torn = 0
    while kills < _KILLS:
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["dvc", "repro", "--verbose"],
                cwd=folder,
                env=environment(),
                start_new_session=True,
                stdout=output,
                stderr=output,
            )
        _wait(process, moments.uniform(1.0, _LONGEST_WAIT_S))
        if _kill_group(process):
            kills += 1
            continue
        if process.returncode != 0:
            assert _mended(folder, log.read_text()), log.read_text()[-6000:]
            torn += 1
            continue
        assert _rounded(_metrics(folder)) == expected
        finished += 1
        _forget(folder)
    last = call(folder, "dvc", "repro", "--verbose", check=False)
    if last.returncode != 0:
        assert _mended(folder, last.stderr), last.stderr[-6000:]
        call(folder, "dvc", "repro", "--quiet")
    assert _rounded(_metrics(folder)) == expected
    assert _files(folder) == files
    print(f"{kills} kills, {finished + 1} runs finished, dvc.lock was torn {torn} times")


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)  # A moment to kill at is what is wanted: there is no event to wait for.
