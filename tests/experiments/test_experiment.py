"""Running a recipe: what DVC is told, when nothing is to be done, and what may not be lost."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.workspaces import call, git, make_workspace

from sortline.core.errors import DataError, ParamsError
from sortline.experiments.run import check_data, overrides_of, recipe_file, sweep


@pytest.mark.parametrize(
    ("base", "recipe", "expected"),
    [
        ({"a": {"x": 1}}, {"a": {"x": 1}}, []),
        ({"a": {"x": 1}}, {"a": {"x": 2.5}}, ["a.x=2.5"]),
        ({"a": {"x": 1}}, {"a": {"x": None}}, ["a.x=null"]),
        ({"a": {"x": True}}, {"a": {"x": False}}, ["a.x=false"]),
        ({"a": {"x": "s"}}, {"a": {"x": 'it is, "so"'}}, ['a.x="it is, \\"so\\""']),
        ({"a": {"x": None}}, {"a": {"x": {"train": 3}}}, ["a.x={train:3}"]),
        ({"a": {"x": {}}}, {"a": {"x": {"k": "v"}}}, ['+a.x.k="v"']),
        ({"a": {"x": ["RGB"]}}, {"a": {"x": ["RGB", "L"]}}, ['a.x=["RGB","L"]']),
    ],
)
def test_a_recipe_becomes_overrides(
    base: dict[str, Any], recipe: dict[str, Any], expected: list[str]
) -> None:
    assert list(overrides_of(base, recipe)) == expected


def test_an_unknown_recipe_lists_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/demo.yaml").touch()
    with pytest.raises(ParamsError, match=r"no recipe 'dmeo'.*There are: demo"):
        recipe_file(tmp_path, "dmeo")


def test_missing_data_says_how_to_get_some(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="sortline generate"):
        check_data(tmp_path)


def test_copies_of_killed_experiments_go_and_others_stay(tmp_path: Path) -> None:
    copies = tmp_path / ".dvc/tmp/exps/standalone"
    for name in ("tmpstale", "tmpbusy", "tmpyoung"):
        (copies / name / "inside").mkdir(parents=True)
    for name in ("tmpstale", "tmpbusy"):
        os.utime(copies / name, (0, 0))
    waiting = ["-c", "print(flush=True); input()"]
    with subprocess.Popen(
        [sys.executable, *waiting],
        cwd=copies / "tmpbusy/inside",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        assert [path.name for path in sweep(tmp_path)] == ["tmpstale"]
        process.communicate(b"\n")
    assert sorted(path.name for path in copies.iterdir()) == ["tmpbusy", "tmpyoung"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_recipe_runs_beside_the_users_own_settings(tmp_path: Path) -> None:
    folder = make_workspace(tmp_path / "repository", (60, 20, 20))
    recipe = folder / "recipes/quick.yaml"
    recipe.write_text("train_phase1:\n  epochs: 1\n  learning_rate: 0.00002\n")
    before = git(folder, "status", "--porcelain")
    first = call(folder, "sortline", "run", "--recipe", "quick")
    assert first.stdout.strip().endswith("runs/quick/")
    assert git(folder, "status", "--porcelain") == before
    made = folder / "runs/quick"
    for name in (
        "artifacts/saved_model/saved_model.pb",
        "reports/blessing.json",
        "reports/evaluation/metrics.json",
        "report.html",
    ):
        assert (made / name).is_file(), name
    facts = json.loads((made / "artifacts/phase1/facts.json").read_text())
    assert facts["epochs_run"] == 1
    name = json.loads((made / "run.json").read_text())["experiment"]
    assert name in call(folder, "dvc", "exp", "show", "--csv", "--all-commits").stdout

    again = call(folder, "sortline", "run", "--recipe", "quick")
    assert "Nothing changed" in again.stdout
    # A recipe that differs in its gates alone runs the gates alone: the rest comes from the cache.
    recipe.write_text(recipe.read_text() + "gate:\n  min_accuracy: 0.01\n")
    third = call(folder, "sortline", "run", "--recipe", "quick").stdout
    ran = [line.split("'")[1] for line in third.splitlines() if line.startswith("Running stage")]
    assert ran == ["code", "gate"]  # The list of code alone: a gate may be a plugin's.


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_changed_data_is_not_silently_left_out(tmp_path: Path) -> None:
    folder = make_workspace(tmp_path / "repository", (20, 10, 10))
    next((folder / "data/train").rglob("*.jpg")).unlink()
    refused = call(folder, "sortline", "run", check=False)
    assert refused.returncode == 2
    assert "dvc add data" in refused.stderr
    assert not (folder / "runs").exists()
