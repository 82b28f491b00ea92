"""What a stage leaves when it is done, and the commit of all that a run has done.

A manifest is the truth, whatever a scheduler says of its task. The commit is one that every clone
makes alike.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sortline.core.dvc import read_lock, write_lock
from sortline.core.errors import ArtifactError
from sortline.core.files import sha256_json
from sortline.core.git import git
from sortline.core.graph import Stage, helpers
from sortline.orchestration.clone import Clone
from sortline.orchestration.plan import Plan, place_of
from sortline.orchestration.run_store import RunStore, safe_name


@dataclass(frozen=True)
class Done:
    """A stage of a run that is done.

    Attributes:
        stage: its name.
        identity: of the run's plan.
        outs: MD5 of everything it made, by path.
        params_sha256: of the settings that it depends on.
        lock: its entry of dvc.lock.
        metrics: content of its metrics files, by path.
    """

    stage: str
    identity: str
    outs: dict[str, str]
    params_sha256: str
    lock: dict[str, Any]
    metrics: dict[str, Any]


def _name(run_id: str, stage: str) -> str:
    return f"{place_of(run_id)}/done/{stage}.json"


def outs_of(entry: dict[str, Any]) -> dict[str, str]:
    """MD5 by path, of what an entry of dvc.lock says was made."""
    return {out["path"]: out["md5"] for out in entry.get("outs", [])}


def done_of(plan: Plan, stage: str, entry: dict[str, Any], metrics: dict[str, Any]) -> Done:
    """The manifest of a stage whose entry stands in dvc.lock."""
    params = sha256_json(entry.get("params", {}))
    return Done(stage, plan.identity, outs_of(entry), params, entry, metrics)


def write_done(store: RunStore, run_id: str, done: Done) -> None:
    """Leave a manifest; the last thing that a stage's command does."""
    store.write(_name(run_id, done.stage), asdict(done))


def find_done(store: RunStore, plan: Plan, stage: str) -> Done | None:
    """The manifest of a stage of this run; None when it is not done.

    Raises:
        ArtifactError: there is one, of another plan, or one that contradicts itself.
    """
    manifest = store.read(_name(plan.run_id, stage))
    if manifest is None:
        return None
    done = Done(**manifest)
    if done.identity != plan.identity or done.outs != outs_of(done.lock):
        raise ArtifactError(
            f"The done-manifest of {stage} in the run {plan.run_id} is not of this run's plan."
            f" Remove {_name(plan.run_id, stage)} from {store.address}, and run {stage} again."
        )
    return done


def all_done(store: RunStore, plan: Plan, stages: Iterable[str]) -> dict[str, Done]:
    """The manifests of those of the stages that are done, in their order."""
    manifests = {name: find_done(store, plan, name) for name in stages}
    return {name: done for name, done in manifests.items() if done is not None}


def require_done(store: RunStore, plan: Plan, stages: list[str]) -> dict[str, Done]:
    """The manifests of stages that have to be done by now.

    Raises:
        ArtifactError: one is missing, whatever its task said.
    """
    done = all_done(store, plan, stages)
    if missing := [name for name in stages if name not in done]:
        raise ArtifactError(
            f"{', '.join(missing)} left no done-manifest in the run {plan.run_id}, though a task"
            " below was started: its exit status cannot be trusted. Clear that task, and the"
            " ones below it run again."
        )
    return done


def check_deps(stage: Stage, entry: dict[str, Any], above: dict[str, Done]) -> None:
    """Make sure that a stage worked on what the stages above it left.

    Raises:
        ArtifactError: it read something else.
    """
    made = {path: (name, md5) for name, done in above.items() for path, md5 in done.outs.items()}
    for dep in entry.get("deps", []):
        name, md5 = made.get(dep["path"], ("", dep.get("md5")))
        if dep.get("md5") != md5:
            raise ArtifactError(
                f"{stage.name} read {dep['path']} with the MD5 {dep.get('md5')}; {name} had left"
                f" {md5}. Clear {name} in this run."
            )


def branch_of(run_id: str) -> str:
    """The branch that keeps a run."""
    return f"runs/{safe_name(run_id)}"


def _commit(clone: Clone, plan: Plan, message: str) -> str:
    dates = {"GIT_AUTHOR_DATE": plan.created, "GIT_COMMITTER_DATE": plan.created}
    git(clone.folder, "add", "--all")
    git(clone.folder, "commit", "--quiet", "--allow-empty", "--message", message, variables=dates)
    return git(clone.folder, "rev-parse", "HEAD").strip()


def commit_run(clone: Clone, plan: Plan, done: Mapping[str, Done]) -> str:
    """Commit settings, data.dvc, champion and dvc.lock of a run; the commit's hash.

    The same plan and manifests give the same hash: a version that was published names a commit
    that `record` pushes later.
    """
    entries: dict[str, Any] = {}
    # The stages that list code are no tasks. Without them a person who checks the run's branch out
    # lacks what all other stages depend on.
    if lists := helpers(clone.folder):
        clone.dvc("repro", "--quiet", *lists)
        locked = read_lock(clone.folder)
        entries = {name: locked[name] for name in lists}
    write_lock(clone.folder, {**entries, **{name: entry.lock for name, entry in done.items()}})
    return _commit(clone, plan, f"Run {plan.run_id}")


def push_run(clone: Clone, plan: Plan, summary: str) -> None:
    """Commit what was added since, and push the run's branch.

    Raises:
        UnreachableError: the repository, or DVC's remote, cannot be written to.
    """
    if lists := helpers(clone.folder):  # The tasks have pushed what they made.
        clone.dvc("push", "--quiet", *lists)
    _commit(clone, plan, f"Record of the run {plan.run_id}\n\n{summary}")
    branch = branch_of(plan.run_id)
    # Forced: a record that is written again replaces the one of the killed try.
    git(clone.folder, "push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{branch}")
