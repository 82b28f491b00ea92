"""The graph as a Kubeflow pipeline: described here, without kfp."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from helpers.workspaces import ROOT

from sortline.cli.main import app
from sortline.core.errors import ArtifactError, ParamsError
from sortline.core.graph import edges, read_graph
from sortline.orchestration.kubeflow import (
    ANSWER,
    GIVEN,
    Pipeline,
    Recurring,
    describe,
    kfp_environment,
    schedule,
    task_name,
)

HOSTILE = ("x; touch broken", "$(touch broken)", "`id`", "--dry-run", "-x", '"; rm -rf /', "a\nb")


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setenv("SORTLINE_IMAGE", "registry.example/sortline-train:1.2.3")
    return describe(ROOT)


def _taken(arguments: Sequence[str]) -> dict[str, Any]:
    """What the command line makes of arguments; nothing is done."""
    command, words = typer.main.get_command(app), list(arguments)
    context = command.make_context("sortline", words[:1])
    while words and hasattr(command, "get_command"):
        command = command.get_command(context, words.pop(0))
        context = command.make_context(command.name, list(words), parent=context)
    return dict(context.params)


def test_tasks_follow_each_other_as_the_graph_says(pipeline: Pipeline) -> None:
    found = {(above, task.name) for task in pipeline.stages for above in task.after}
    wanted = {(task_name(above), task_name(below)) for above, below in edges(read_graph(ROOT))}
    assert found == wanted


def test_every_task_calls_a_command_that_sortline_has(pipeline: Pipeline) -> None:
    for task in (pipeline.plan, *pipeline.stages, pipeline.record):
        assert task.command == "sortline"
        assert _taken(task.arguments)["run_id"] == f"{GIVEN}run_id"
    assert str(_taken(pipeline.plan.arguments)["answer"]) == ANSWER


@pytest.mark.parametrize("value", HOSTILE)
def test_a_parameters_value_stays_the_value_of_its_option(pipeline: Pipeline, value: str) -> None:
    said = [f"{GIVEN}{name}" for name in pipeline.parameters]
    taken = _taken([value if word in said else word for word in pipeline.plan.arguments])
    for name in ("revision", "recipe", "data_revision", "champion"):
        assert taken[name] == value
    assert taken["dry_run"] == "false"


def test_only_a_stage_that_asks_for_a_gpu_gets_one(pipeline: Pipeline) -> None:
    graph = read_graph(ROOT)
    for task in pipeline.stages:
        wants = graph[task.name.replace("-", "_")].resources == "gpu"
        assert ("nvidia.com/gpu" in task.pod.limits) is wants
        assert bool(task.pod.tolerated) is wants
    assert {task.pod.account for task in pipeline.stages} == {"sortline-trainer"}


def test_outside_the_repository_it_says_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="Run in the repository's top folder"):
        kfp_environment(tmp_path)


def test_a_cron_expression_of_five_fields_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(ParamsError, match="six fields, seconds first"):
        schedule(ROOT, Recurring("http://127.0.0.1:9", "0 3 * * 1", ""))
