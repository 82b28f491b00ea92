"""One command does a stage everywhere: clone, check what is above, `dvc repro --pull`, push, sign.

It keeps nothing in its clone: killed at any moment, the same command can simply be run again. A
training's other workers each work in a clone of their own, beside the chief's; they keep nothing.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from typing import Any

from sortline.core.dvc import read_lock, write_lock
from sortline.core.errors import ArtifactError, UnreachableError
from sortline.core.files import sha256_json
from sortline.core.graph import Stage, closure, read_graph, stage_of
from sortline.orchestration.clone import Clone, cloned
from sortline.orchestration.done_manifest import (
    Done,
    check_deps,
    done_of,
    find_done,
    require_done,
    write_done,
)
from sortline.orchestration.plan import Plan, read_plan
from sortline.orchestration.run_store import RunStore, safe_name
from sortline.orchestration.settings import Settings
from sortline.training.cluster import follower_of

_LOCK_WAIT_S = 120.0
_LOCK_POLL_S = 0.5
_TRAINING = ("train_phase1", "fine_tune_phase2")


@contextlib.contextmanager
def alone(settings: Settings, name: str) -> Iterator[None]:
    """Hold a task of a run: what is left of a lost try of it ends first.

    Raises:
        UnreachableError: another try holds it, and goes on holding it.
    """
    path = settings.work / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + _LOCK_WAIT_S
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > end:
                    raise UnreachableError(
                        f"Another try of {name} still works after {_LOCK_WAIT_S:.0f} s."
                    ) from error
                time.sleep(_LOCK_POLL_S)
        yield


def bring_features(clone: Clone, settings: Settings) -> None:
    """Features that other machines computed; what is missing is computed here."""
    source = settings.features
    if source and clone.run("sortline", "cache", "pull", source).status != 0:
        print(f"No features came from {source}: computing them here.")


def _reproduce(clone: Clone, stage: Stage, above: dict[str, Done]) -> dict[str, Any]:
    """The stage's entry of dvc.lock, once it is done in this clone."""
    # Without its own entry a stage comes from the run cache, or is run; those above are as signed.
    write_lock(clone.folder, {name: done.lock for name, done in above.items()})
    clone.dvc("repro", "--pull", "--allow-missing", stage.name)
    locked = read_lock(clone.folder)
    for name, done in above.items():
        if sha256_json(locked.get(name)) != sha256_json(done.lock):
            raise ArtifactError(
                f"{name} was run again below {stage.name}: what it depends on is not what its"
                f" done-manifest says. Clear {name} in this run."
            )
    entry: dict[str, Any] = locked[stage.name]
    return entry


def work_on(clone: Clone, settings: Settings, plan: Plan, name: str) -> Done:
    """Do a stage in a clone, and put what it made where others find it."""
    graph = read_graph(clone.folder)
    stage = stage_of(graph, name)
    above = require_done(RunStore(settings.run_store), plan, closure(graph, name))
    if name in _TRAINING:
        bring_features(clone, settings)
    entry = _reproduce(clone, stage, above)
    check_deps(stage, entry, above)
    clone.dvc("push", "--quiet", "--run-cache", name)
    metrics = {n: json.loads((clone.folder / n).read_text("utf-8")) for n in stage.metrics}
    return done_of(plan, name, entry, metrics)


def run_stage(name: str, run_id: str, settings: Settings) -> Done:
    """Do a stage of a run, unless its done-manifest says that it is done.

    Raises:
        ArtifactError: the run has no plan, or a stage above is not done.
        SortlineError: the step refused.
        UnreachableError: the repository, the remote or the step's process was lost.
    """
    store = RunStore(settings.run_store)
    plan = read_plan(store, run_id)
    place = f"{safe_name(run_id)}.{name}"
    with alone(settings, place):
        if done := find_done(store, plan, name):
            print(f"{name} is done already in the run {run_id}.")
            return done
        with cloned(settings, place, plan.revision, plan.files) as clone:
            done = work_on(clone, settings, plan, name)
        write_done(store, run_id, done)
    print(f"{name} is done: {', '.join(done.outs)}")
    return done


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
    store = RunStore(settings.run_store)
    plan = read_plan(store, run_id)
    if find_done(store, plan, name):
        print(f"{name} is done already in the run {run_id}.")
        return
    place = f"{safe_name(run_id)}.{name}-worker-{index}"
    with (
        alone(settings, place),
        cloned(settings, place, plan.revision, plan.files) as clone,
    ):
        graph = read_graph(clone.folder)
        stage = stage_of(graph, name)
        above = require_done(store, plan, closure(graph, name))
        write_lock(clone.folder, {upstream: done.lock for upstream, done in above.items()})
        # What git does not have of a stage's deps, DVC has.
        missing = [dep for dep in stage.deps if not (clone.folder / dep).exists()]
        clone.dvc("pull", "--quiet", *missing)
        bring_features(clone, settings)
        # Not by DVC: it would take the result from its cache, and leave the chief waiting.
        clone.run(f"pipeline_steps.{name}").require(f"The worker's {name}")
    print(f"{name}: worker {index} has done its part; the chief keeps the result.")


def fill_features(part: str, run_id: str, settings: Settings) -> None:
    """Compute a part of the features of a run, and share it; `part` is I/N.

    Raises:
        ArtifactError: the manifest and the plan of views are not done yet.
        SortlineError: it refused.
    """
    store = RunStore(settings.run_store)
    plan = read_plan(store, run_id)
    above = require_done(store, plan, ["validate", "augment", "warm_start"])
    place = f"{safe_name(run_id)}.features-{part.replace('/', '-of-')}"
    with (
        alone(settings, place),
        cloned(settings, place, plan.revision, plan.files) as clone,
    ):
        write_lock(clone.folder, {name: done.lock for name, done in above.items()})
        needed = ("artifacts/manifest.parquet", "artifacts/views.parquet", "artifacts/start")
        clone.dvc("pull", "--quiet", *needed, "data/train", "data/val")
        bring_features(clone, settings)
        clone.sortline("cache", "fill", "--part", part)
        if settings.features:
            clone.sortline("cache", "push", settings.features)
