"""What a run trains is decided once, and a run that would repeat another is told so."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.small_repository import DATA_MD5, commit, data_dvc, make_repository, settings_for
from helpers.workspaces import git, write_params

from sortline.core.errors import DataError, ParamsError, UnreachableError
from sortline.orchestration.plan import (
    CURRENT,
    Plan,
    Request,
    make_plan,
    record_name,
    trained_name,
)
from sortline.orchestration.run_store import RunStore
from sortline.orchestration.settings import Settings

OTHER = "f" * 32 + ".dir"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("template") / "repository")


@pytest.fixture
def settings(template: Path, tmp_path: Path) -> Settings:
    git(tmp_path, "clone", "--quiet", str(template), "repository")
    return settings_for(tmp_path / "repository", tmp_path)


def _plan(settings: Settings, run_id: str = "run", **asked: object) -> Plan:
    return make_plan(Request(run_id, **asked), settings)  # type: ignore[arg-type]


def _finish(settings: Settings, plan: Plan) -> None:
    for name in (record_name(plan.identity, dry_run=plan.dry_run), trained_name(plan.data)):
        RunStore(settings.run_store).write(name, {"run_id": plan.run_id})


def test_an_unknown_recipe_is_named_with_those_there_are(settings: Settings) -> None:
    with pytest.raises(ParamsError, match=r"no recipe 'nothing'.*demo"):
        _plan(settings, recipe="nothing")


def test_an_unknown_revision_is_refused(settings: Settings) -> None:
    with pytest.raises(ParamsError, match="no revision 'nowhere'"):
        _plan(settings, revision="nowhere")


def test_settings_that_the_code_refuses_are_refused_before_anything_runs(
    settings: Settings,
) -> None:
    with pytest.raises(ParamsError, match="epochs"):
        _plan(settings, changes={"train_phase1": {"epochs": -1}})


def test_a_repository_that_cannot_be_reached_is_tried_again(settings: Settings) -> None:
    with pytest.raises(UnreachableError):
        _plan(replace(settings, repository=f"{settings.repository}-gone"))


def test_a_recipe_is_laid_over_the_settings_and_nothing_is_left_behind(
    settings: Settings,
) -> None:
    plain, demo = _plan(settings), _plan(settings, "demo", recipe="demo")
    assert plain.files == {}
    assert list(demo.files) == ["params.yaml"]
    assert plain.identity != demo.identity
    assert [path.name for path in settings.work.iterdir() if path.name != "locks"] == []


def test_a_run_keeps_its_plan_when_the_repository_moves_on(settings: Settings) -> None:
    first = _plan(settings)
    write_params(Path(settings.repository), {"seed": 7})
    commit(Path(settings.repository), "another seed")
    assert _plan(settings) == first
    assert _plan(settings, "another").revision != first.revision


def test_the_same_data_settings_and_code_are_nothing_new(settings: Settings) -> None:
    _finish(settings, _plan(settings))
    assert _plan(settings, "again").same_as == "run"
    assert _plan(settings, "dry", dry_run=True).same_as is None


def test_what_no_stage_reads_makes_no_run_new(settings: Settings) -> None:
    _finish(settings, _plan(settings))
    write_params(Path(settings.repository), {"publish": {"keep": 3}})
    server = Path(settings.repository) / "sortline/standin/server.py"
    server.write_text(server.read_text() + "\n# changed\n")
    commit(Path(settings.repository), "keep fewer")
    assert _plan(settings, "again").same_as == "run"


@pytest.mark.parametrize("name", ["data.dvc", "params.yaml", "pipeline_steps/gate.py"])
def test_new_data_settings_or_code_make_a_run_new(settings: Settings, name: str) -> None:
    _finish(settings, _plan(settings))
    path = Path(settings.repository) / name
    changed = path.read_text().replace(DATA_MD5, OTHER).replace("seed: 0 ", "seed: 1 ")
    path.write_text(changed + "\n# changed\n" if name.endswith(".py") else changed)
    commit(Path(settings.repository), "change")
    assert _plan(settings, "again").same_as is None


def test_a_drift_alert_alone_trains_only_on_new_data(settings: Settings) -> None:
    _finish(settings, _plan(settings))
    write_params(Path(settings.repository), {"seed": 7})
    commit(Path(settings.repository), "another seed")
    drift = "asset_triggered sortline_drift"
    assert _plan(settings, "drift", trigger=drift).same_as == "run"
    assert _plan(settings, "both", trigger=f"{drift} sortline_dataset").same_as is None
    (Path(settings.repository) / "data.dvc").write_text(data_dvc(OTHER))
    commit(Path(settings.repository), "more data")
    assert _plan(settings, "new", trigger=drift).same_as is None


def test_a_data_revision_is_a_commit_or_a_hash(settings: Settings) -> None:
    repository = Path(settings.repository)
    before = commit(repository, "before")
    (repository / "data.dvc").write_text(data_dvc(OTHER))
    commit(repository, "more data")
    assert _plan(settings, "head").data == OTHER
    assert _plan(settings, "old", data=before).data == DATA_MD5
    assert _plan(settings, "hash", data=DATA_MD5).data == DATA_MD5
    with pytest.raises(ParamsError, match="no data revision"):
        _plan(settings, "wrong", data="nowhere")


def test_announced_data_counts_until_git_pins_something_newer(settings: Settings) -> None:
    announced = {"data_dvc": data_dvc(OTHER), "replaces": DATA_MD5}
    RunStore(settings.run_store).write(CURRENT, announced)
    assert _plan(settings, "announced").data == OTHER
    third = "a" * 32 + ".dir"
    (Path(settings.repository) / "data.dvc").write_text(data_dvc(third))
    commit(Path(settings.repository), "newer still")
    assert _plan(settings, "newer").data == third


def test_a_repository_without_a_dataset_says_so(settings: Settings) -> None:
    git(Path(settings.repository), "rm", "--quiet", "data.dvc")
    commit(Path(settings.repository), "no data")
    with pytest.raises(DataError, match=r"no data\.dvc"):
        _plan(settings)
