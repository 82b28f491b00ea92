"""Whole runs under a real scheduler: success, refusal, nothing new, kills, restarts, assets."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from helpers.live_airflow import Airflow, commit, live, make_repository, wait_for
from helpers.workspaces import call, git, write_params

from sortline.orchestration.done_manifest import branch_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("scheduler") / "repository")


@pytest.fixture(scope="module")
def undisturbed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Metrics of the same commit by `dvc repro` alone, with a cache and a state of its own."""
    folder = tmp_path_factory.mktemp("undisturbed") / "repository"
    subprocess.run(["git", "clone", "--quiet", str(repository), str(folder)], check=True)
    git(folder, "checkout", "--quiet", _first_commit(repository))
    shutil.copytree(repository / "data", folder / "data")
    call(folder, "dvc", "repro", "--quiet", "evaluate")
    return json.loads((folder / "reports/evaluation/metrics.json").read_text())


def _first_commit(repository: Path) -> str:
    """The second commit of all: with the gates that let everything through."""
    return git(repository, "rev-list", "--reverse", "main").split()[1]


@pytest.fixture(scope="module")
def airflow(repository: Path) -> Iterator[Airflow]:
    with live(repository) as running:
        yield running


def _process(repository: Path, text: str) -> psutil.Process | None:
    """A process of this Airflow alone: others may run the same commands on this machine."""
    for process in psutil.process_iter(["cmdline", "cwd"]):
        own = (process.info["cwd"] or "").startswith(str(repository))
        if own and text in " ".join(process.info["cmdline"] or []):
            return process
    return None


def _checkpoint(repository: Path, stage: str) -> Path | None:
    return next((repository / ".sortline" / "resume").glob(f"{stage}-*.safetensors"), None)


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _numbers(v) for k, v in value.items() if k != "model_digest"}
    if isinstance(value, list):
        return [_numbers(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


@pytest.fixture(scope="module")
def disturbed(airflow: Airflow, repository: Path) -> tuple[str, str]:
    """Two triggers at once; the first run is killed in mid-training, and so is the scheduler."""
    first, second = airflow.trigger(), airflow.trigger()
    wait_for(lambda: _checkpoint(repository, "train_phase1"), "a checkpoint")
    command = _process(repository, "retraining stage train_phase1")
    assert command is not None
    parent = command.parent()
    assert parent is not None
    parent.kill()  # Airflow's task; the command under it and its training have to end with it.
    assert airflow.run(second)["state"] == "queued"
    wait_for(lambda: _process(repository, "pipeline_steps.fine_tune_phase2"), "phase 2")
    airflow.components.kill("scheduler", signal.SIGKILL)
    assert airflow.components.revive() == ["scheduler"]
    assert airflow.finished(first) == "success", airflow.log(first, "record")
    assert airflow.finished(second) == "success"
    return first, second


def test_a_run_survives_kills_and_ends_with_the_same_metrics(
    airflow: Airflow, disturbed: tuple[str, str], undisturbed: Any
) -> None:
    first = disturbed[0]
    assert airflow.outcome(first) == "released"
    assert airflow.stored(first, "record.json")["version"] == 1
    assert (airflow.home.folder / "releases" / "1" / "saved_model.pb").is_file()
    assert airflow.tasks(first)["train_phase1"]["try_number"] == 2
    assert "epoch 1:" in airflow.log(first, "train_phase1", attempt=1)
    assert "epoch 1:" not in airflow.log(first, "train_phase1", attempt=2)
    metrics = airflow.stored(first, "done/evaluate.json")["metrics"]
    assert _numbers(metrics["reports/evaluation/metrics.json"]) == _numbers(undisturbed)
    assert "Retraining" in airflow.log(first, "notify")


def test_a_second_trigger_waits_and_finds_nothing_new(
    airflow: Airflow, disturbed: tuple[str, str]
) -> None:
    first, second = (airflow.run(run_id) for run_id in disturbed)
    assert second["start_date"] >= first["end_date"]
    assert airflow.outcome(disturbed[1]) == "nothing new"
    states = airflow.states(disturbed[1])
    assert states["resolve_revision"] == states["train_phase1"] == "skipped"
    print(f"nothing new took {second['duration']:.1f} s")


def test_the_branch_of_a_run_restores_what_was_trained(
    airflow: Airflow, repository: Path, disturbed: tuple[str, str], tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(repository), str(clone)], check=True)
    git(clone, "checkout", "--quiet", branch_of(disturbed[0]))
    remote = str(airflow.home.folder / "remote")
    call(clone, "dvc", "cache", "dir", "--local", str(repository / ".dvc" / "cache"))
    call(clone, "dvc", "remote", "add", "--default", "--local", "shared", remote)
    call(clone, "dvc", "checkout", "--quiet")
    assert "Running stage" not in call(clone, "dvc", "repro").stdout
    assert git(clone, "status", "--porcelain") == ""


def test_new_settings_after_an_asset_event_are_refused_once(
    airflow: Airflow, repository: Path, disturbed: tuple[str, str]
) -> None:
    write_params(repository, {"gate": {"min_accuracy": 1.0}})
    commit(repository, "a gate that nothing passes")
    before = {each["dag_run_id"] for each in airflow.call("dagRuns")["dag_runs"]}
    airflow.home.api().update_asset("sortline_dataset", {"why": "a test"})

    def woken() -> str | None:
        runs = {each["dag_run_id"] for each in airflow.call("dagRuns")["dag_runs"]}
        return next(iter(runs - before), None)

    run_id = wait_for(woken, "a run by the asset")
    assert airflow.finished(run_id) == "success"
    assert airflow.outcome(run_id) == "refused"
    assert "REFUSED min_accuracy" in airflow.log(run_id, "blessing")
    assert "min_accuracy" in airflow.log(run_id, "notify")
    tasks = airflow.tasks(run_id)
    assert {tasks[name]["state"] for name in ("blessing", "publish", "promote")} == {"skipped"}
    assert tasks["gate"]["try_number"] == tasks["blessing"]["try_number"] == 1
    again = airflow.trigger()
    assert airflow.finished(again) == "success"
    assert airflow.outcome(again) == "nothing new"


def test_a_recipe_that_does_not_exist_fails_in_the_first_task_at_once(
    airflow: Airflow, disturbed: tuple[str, str]
) -> None:
    run_id = airflow.trigger(recipe="no-such-recipe")
    assert airflow.finished(run_id) == "failed"
    tasks = airflow.tasks(run_id)
    assert tasks["resolve_revision"]["state"] == "failed"
    assert tasks["resolve_revision"]["try_number"] == 1
    assert tasks["validate"]["state"] == "upstream_failed"
    assert "There is no recipe 'no-such-recipe'" in airflow.log(run_id, "resolve_revision")
    assert "no-such-recipe" in airflow.log(run_id, "notify")
