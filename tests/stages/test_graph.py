"""dvc.yaml says all that a stage depends on."""

import importlib
from pathlib import Path
from typing import Any

import pytest

from sortline.core.params import read_yaml

ROOT = Path(__file__).parents[2]
STAGES = read_yaml(ROOT / "dvc.yaml")["stages"]
STEPS = (
    "validate",
    "augment",
    "warm_start",
    "train_phase1",
    "fine_tune_phase2",
    "export",
    "evaluate",
    "gate",
)
SECTIONS = {"warm_start": "train"}  # The others are called as their step is.


def _names(entries: list[Any]) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def test_the_graph_has_its_steps_in_order() -> None:
    assert tuple(STAGES) == ("code", *STEPS)


def test_every_stage_depends_on_the_list_of_its_own_code() -> None:
    for step in STEPS:
        assert [dep for dep in STAGES[step]["deps"] if dep.startswith("code/")] == [
            f"code/{step}.txt"
        ]
    assert STAGES["code"]["outs"] == [f"code/{step}.txt" for step in sorted(STEPS)]


@pytest.mark.parametrize("step", STEPS)
def test_params_of_a_stage_are_the_sections_that_its_step_reads(step: str) -> None:
    sections = importlib.import_module(f"pipeline_steps.{step}").Params
    assert sorted(STAGES[step]["params"]) == sorted(sections.names())
    assert SECTIONS.get(step, step) in STAGES[step]["params"]


@pytest.mark.parametrize("step", STEPS)
def test_every_output_is_cached_so_that_another_clone_can_restore_it(step: str) -> None:
    stage = STAGES[step]
    for entry in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]:
        options = {} if isinstance(entry, str) else next(iter(entry.values()))
        assert options.get("cache", True) is True, entry
        assert not options.get("persist", False), entry


@pytest.mark.parametrize("step", STEPS)
def test_a_scheduler_learns_resources_and_time_of_each_stage(step: str) -> None:
    meta = STAGES[step]["meta"]
    assert meta["resources"] in ("cpu", "gpu")
    assert isinstance(meta["timeout_s"], int)


def test_outputs_of_one_stage_are_deps_of_others() -> None:
    made = {
        name: step
        for step in STEPS
        for kind in ("outs", "metrics", "plots")
        for name in _names(STAGES[step].get(kind, []))
    }
    for step in STEPS:
        for dep in STAGES[step]["deps"]:
            outside = dep.split("/")[0] in ("data", "champion", "code")
            assert outside or dep in made, f"{step} depends on {dep}, which no stage makes"
