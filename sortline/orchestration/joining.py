"""A training's other workers: each in a clone of its own, beside the chief's; they keep nothing."""

import os

from sortline.core.dvc import write_lock
from sortline.core.graph import Stage, closure, read_graph, stage_of
from sortline.orchestration.clone import Clone, cloned
from sortline.orchestration.done_manifest import Done, find_done, require_done
from sortline.orchestration.plan import Plan, read_plan
from sortline.orchestration.run_store import RunStore, safe_name
from sortline.orchestration.settings import Settings
from sortline.orchestration.stage_run import alone, bring_features, run_stage
from sortline.training.cluster import follower_of


def _bring_inputs(clone: Clone, stage: Stage, above: dict[str, Done]) -> None:
    write_lock(clone.folder, {name: done.lock for name, done in above.items()})
    # What git does not have of a stage's deps, DVC has.
    wanted = [dep for dep in stage.deps if not (clone.folder / dep).exists()]
    clone.dvc("pull", "--quiet", *wanted)


def _follow(clone: Clone, settings: Settings, plan: Plan, name: str) -> None:
    graph = read_graph(clone.folder)
    stage = stage_of(graph, name)
    above = require_done(RunStore(settings.run_store), plan, closure(graph, name))
    _bring_inputs(clone, stage, above)
    bring_features(clone, settings)
    # Not by DVC: it would take the result from its cache, and leave the chief waiting.
    clone.run(f"pipeline_steps.{name}").require(f"The worker's {name}")


def run_worker(name: str, run_id: str, settings: Settings) -> None:
    """Do a worker's part of a stage of a run: the whole stage, unless another worker is the chief.

    Raises:
        ArtifactError: the run has no plan, or a stage above is not done.
        SortlineError: the step refused.
        UnreachableError: the repository, the remote or another worker was lost.
    """
    index = follower_of(os.environ)
    if index is None:
        run_stage(name, run_id, settings)
        return
    plan = read_plan(RunStore(settings.run_store), run_id)
    if find_done(RunStore(settings.run_store), plan, name):
        print(f"{name} is done already in the run {run_id}.")
        return
    place = f"{safe_name(run_id)}.{name}-worker-{index}"
    with (
        alone(settings, place),
        cloned(settings, place, plan.revision, plan.files) as clone,
    ):
        _follow(clone, settings, plan, name)
    print(f"{name}: worker {index} has done its part; the chief keeps the result.")
