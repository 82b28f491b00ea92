"""Under a real scheduler: what wakes a retraining, and which data it is then about.

Only plans and looks are real here: a run ends after its plan, so that each waking costs seconds.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.live_airflow import Airflow, live, wait_for
from helpers.plans_only import commit, make_small_repository, new_data, planning_python
from helpers.workspaces import call, git

from sortline.orchestration.embedded_home import tell_clients

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wakings") / "repository"
    return make_small_repository(folder)


@pytest.fixture(scope="module")
def airflow(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    stub = planning_python(tmp_path_factory.mktemp("stub"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SORTLINE_PYTHON", str(stub))
        with live(repository) as running:
            tell_clients(running.home)
            yield running


def _plans(airflow: Airflow) -> dict[str, Any]:
    """The plan of each run of the retraining that has one, by the run's id."""
    plans = (airflow.home.folder / "remote" / "sortline" / "runs").glob("*/plan.json")
    found = [json.loads(path.read_text()) for path in plans]
    return {plan["run_id"]: plan for plan in found}


def _one(airflow: Airflow, fits: Callable[[Any], bool], what: str) -> Any:
    """The plan of a run that fits, once there is one and its run has ended."""
    plan = wait_for(
        lambda: next((each for each in _plans(airflow).values() if fits(each)), None), what
    )
    assert airflow.finished(plan["run_id"]) == "success"
    return plan


def _look(airflow: Airflow) -> str:
    """Let `watch_data` look; the state of its task."""
    run_id = airflow.home.api().trigger("watch_data", {})

    def state() -> str | None:
        path = f"/dags/watch_data/dagRuns/{run_id}/taskInstances/look"
        found = str(airflow.home.api().call("GET", path.replace("+", "%2B"))["state"])
        return found if found in ("success", "skipped", "failed") else None

    return wait_for(state, "a look")


def test_data_updated_wakes_a_run_on_the_announced_data(airflow: Airflow, repository: Path) -> None:
    announced = new_data(repository, "announced, and in no commit")
    said = call(repository, sys.executable, "-m", "sortline", "data-updated").stdout
    assert "Airflow was told" in said
    plan = _one(airflow, lambda plan: plan["data"] == announced, "a run on the announced data")
    assert "asset_triggered sortline_dataset" in plan["trigger"]
    assert list(plan["files"]) == ["data.dvc"]


def test_watch_data_wakes_a_run_on_what_git_pins_and_then_is_quiet(
    airflow: Airflow, repository: Path
) -> None:
    committed = new_data(repository, "committed")
    commit(repository, "more data")
    _look(airflow)  # Its own schedule may have come first; either wakes the run.
    plan = _one(airflow, lambda plan: plan["data"] == committed, "a run on the committed data")
    assert "sortline_dataset" in plan["trigger"]
    seen = airflow.home.folder / "remote" / "sortline" / "data" / "seen.json"
    wait_for(
        lambda: (seen.is_file() and committed in seen.read_text()) or None,
        "the look to be remembered",
    )
    assert _look(airflow) == "skipped"


def test_a_drift_alert_wakes_a_run_that_knows_why(airflow: Airflow) -> None:
    airflow.home.api().update_asset("sortline_drift", {"why": "a test"})
    _one(airflow, lambda plan: "sortline_drift" in plan["trigger"], "a run by the drift")


def test_a_backfill_is_a_dry_run_for_each_data_revision_one_after_the_other(
    airflow: Airflow, repository: Path
) -> None:
    revisions = git(repository, "rev-list", "--reverse", "main").split()
    command = (sys.executable, "-m", "sortline", "airflow", "backfill", *revisions)
    runs = call(repository, *command).stdout.split()
    assert len(runs) == len(revisions)
    for revision, run_id in zip(revisions, runs, strict=True):
        assert airflow.finished(run_id) == "success"
        plan = _plans(airflow)[run_id]
        pinned_there = git(repository, "show", f"{revision}:data.dvc")
        assert plan["data"] in pinned_there
        assert plan["dry_run"] is True
    first, second = (airflow.run(run_id) for run_id in runs[:2])
    assert second["start_date"] >= first["end_date"]
