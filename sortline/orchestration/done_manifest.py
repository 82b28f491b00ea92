"""What a stage leaves when it is done: the truth, whatever a scheduler says of its task."""

from dataclasses import asdict, dataclass
from typing import Any

from sortline.core.errors import ArtifactError
from sortline.core.files import sha256_json
from sortline.core.graph import Stage
from sortline.orchestration.plan import Plan, place_of
from sortline.orchestration.run_store import RunStore


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
    found = store.read(_name(plan.run_id, stage))
    if found is None:
        return None
    done = Done(**found)
    if done.identity != plan.identity or done.outs != outs_of(done.lock):
        raise ArtifactError(
            f"The done-manifest of {stage} in the run {plan.run_id} is not of this run's plan."
            f" Remove {_name(plan.run_id, stage)} from {store.address}, and run {stage} again."
        )
    return done


def require_done(store: RunStore, plan: Plan, stages: list[str]) -> dict[str, Done]:
    """The manifests of stages that have to be done by now.

    Raises:
        ArtifactError: one is missing, whatever its task said.
    """
    found = {name: find_done(store, plan, name) for name in stages}
    if missing := [name for name, done in found.items() if done is None]:
        raise ArtifactError(
            f"{', '.join(missing)} left no done-manifest in the run {plan.run_id}, though a task"
            " below was started: its exit status cannot be trusted. Clear that task, and the"
            " ones below it run again."
        )
    return {name: done for name, done in found.items() if done is not None}


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
