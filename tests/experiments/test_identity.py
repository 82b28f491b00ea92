"""Whether a run is new: what changes a model does, and nothing else."""

from pathlib import Path

import pytest
from helpers.small_repository import commit, data_dvc, make_repository

from sortline.core.params import overlay, read_yaml
from sortline.experiments.identity import identity_of
from sortline.experiments.run import plan


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This code and its settings, committed; the tests put back what they change."""
    return make_repository(tmp_path_factory.mktemp("identity") / "repository")


def _append(path: Path, text: str) -> str:
    before = path.read_text()
    path.write_text(before + text)
    return before


@pytest.mark.parametrize(
    ("name", "is_new"),
    [
        ("sortline/standin/service.py", False),
        ("sortline/synthetic/scene.py", False),
        ("sortline/cli/main.py", False),
        ("pipeline_steps/gate.py", True),
        ("sortline/training/cuts.py", True),
        ("sortline/training/backbones/mobilenet_v2.py", True),
        ("sortline/training/backbones/resnet50.py", False),
        ("dvc.yaml", True),
    ],
)
def test_only_code_that_a_step_reaches_makes_a_new_experiment(
    repository: Path, name: str, is_new: bool
) -> None:
    before = plan(repository, None).name
    text = _append(repository / name, "\n# A line more.\n")
    try:
        assert (plan(repository, None).name != before) is is_new
    finally:
        (repository / name).write_text(text)


def test_settings_that_no_stage_names_make_no_new_experiment(repository: Path) -> None:
    params = read_yaml(repository / "params.yaml")
    first = identity_of(repository, params)
    others = {"publish": {"keep": 3}, "drift": {"min_images": 7}}
    assert identity_of(repository, overlay(params, others)) == first
    assert identity_of(repository, overlay(params, {"gate": {"min_accuracy": 0.1}})) != first
    assert identity_of(repository, overlay(params, {"seed": 7})) != first


def test_new_data_and_a_new_champion_make_a_new_experiment(repository: Path) -> None:
    params = read_yaml(repository / "params.yaml")
    first = identity_of(repository, params)
    remark = _append(repository / "data.dvc", "# a remark\n")
    assert identity_of(repository, params) == first
    (repository / "data.dvc").write_text(remark)
    names = {first}
    before = (repository / "data.dvc").read_text()
    (repository / "data.dvc").write_text(data_dvc("f" * 32 + ".dir"))
    names.add(identity_of(repository, params))
    (repository / "data.dvc").write_text(before)
    _append(next((repository / "champion").glob("*.json")), " ")
    names.add(identity_of(repository, params))
    assert len(names) == 3


def test_a_scheduler_and_a_person_mean_the_same_run(repository: Path) -> None:
    params = read_yaml(repository / "params.yaml")
    own = plan(repository, None).name
    commit(repository, "as it is")
    assert own == f"params-{identity_of(repository, params)[:10]}"
