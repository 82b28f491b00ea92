"""New data is found once, whoever announces it, and is not lost when a task in between is."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.small_repository import DATA_MD5, commit, data_dvc, make_repository, settings_for
from helpers.workspaces import git

from sortline.core.dvc import Pin
from sortline.core.errors import DataError, ParamsError
from sortline.orchestration.airflow_api import api_from_environment
from sortline.orchestration.plan import CURRENT
from sortline.orchestration.run_store import RunStore
from sortline.orchestration.settings import Settings
from sortline.orchestration.watch import (
    look,
    publish_data,
    remember,
    wake,
)

OTHER = "f" * 32 + ".dir"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("template") / "repository")


@pytest.fixture
def settings(template: Path, tmp_path: Path) -> Settings:
    git(tmp_path, "clone", "--quiet", str(template), "repository")
    return settings_for(tmp_path / "repository", tmp_path)


def test_the_first_look_is_no_news_and_new_data_in_git_is(settings: Settings) -> None:
    assert look("one", settings) is None
    (Path(settings.repository) / "data.dvc").write_text(data_dvc(OTHER))
    commit(Path(settings.repository), "more data")
    for run_id in ("two", "three"):  # A look whose event was lost is repeated.
        found = look(run_id, settings)
        assert found is not None
        assert found.digest == OTHER
    remember("three", settings)
    assert look("four", settings) is None


def test_data_that_is_announced_is_found_even_by_the_first_look(settings: Settings) -> None:
    announced = {"data_dvc": data_dvc(OTHER), "replaces": DATA_MD5}
    RunStore(settings.run_store).write(CURRENT, announced)
    found = look("one", settings)
    assert found is not None
    assert found.digest == OTHER


def test_announcing_without_a_dataset_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dvc add data"):
        publish_data(tmp_path / "nowhere", replace(settings, dvc_cache=tmp_path / "cache"))


def test_an_airflow_that_is_away_loses_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Pin(OTHER, data_dvc(OTHER))
    monkeypatch.delenv("SORTLINE_AIRFLOW_URL", raising=False)
    assert "watch_data finds it" in wake(data)
    monkeypatch.setenv("SORTLINE_AIRFLOW_URL", "http://127.0.0.1:9")
    with pytest.raises(ParamsError, match="PASSWORD"):
        api_from_environment()
    monkeypatch.setenv("SORTLINE_AIRFLOW_USER", "admin")
    monkeypatch.setenv("SORTLINE_AIRFLOW_PASSWORD", "secret")
    assert "watch_data finds it" in wake(data)
