"""dvc.yaml says all that a stage depends on: a forgotten module would leave stale results."""

import ast
from pathlib import Path
from typing import Any

import pytest

from pipeline_steps.params import Params, read_yaml

ROOT = Path(__file__).parents[1]
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


def _file_of(module: str) -> Path | None:
    path = ROOT / Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _imported_by(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == "pipeline_steps"}


def modules_of(step: str) -> list[str]:
    """Files of the package that a step imports, directly or not, with the packages' own files."""
    found: set[Path] = set()
    waiting = {f"pipeline_steps.{step}"}
    while waiting:
        name = waiting.pop()
        if "." in name:
            waiting.add(name.rsplit(".", 1)[0])
        file = _file_of(name)
        if file is not None and file not in found:
            found.add(file)
            waiting |= _imported_by(file)
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def _names(entries: list[Any]) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def test_the_graph_has_its_steps_in_order() -> None:
    assert tuple(STAGES) == STEPS


@pytest.mark.parametrize("step", STEPS)
def test_deps_name_every_module_that_a_stage_imports(step: str) -> None:
    listed = [dep for dep in STAGES[step]["deps"] if dep.endswith(".py")]
    assert sorted(listed) == modules_of(step)


@pytest.mark.parametrize("step", STEPS)
def test_params_of_a_stage_exist_and_include_its_own_section(step: str) -> None:
    known = {field.alias or name for name, field in Params.model_fields.items()}
    assert set(STAGES[step]["params"]) <= known
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


def test_files_of_the_package_that_a_stage_reads_are_deps() -> None:
    templates = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("pipeline_steps/**/*.css")}
    assert templates <= set(STAGES["validate"]["deps"])


def test_outputs_of_one_stage_are_deps_of_others() -> None:
    made = {
        name: step
        for step in STEPS
        for kind in ("outs", "metrics", "plots")
        for name in _names(STAGES[step].get(kind, []))
    }
    for step in STEPS:
        for dep in STAGES[step]["deps"]:
            outside = dep.startswith("pipeline_steps/") or dep.split("/")[0] in ("data", "champion")
            assert outside or dep in made, f"{step} depends on {dep}, which no stage makes"
