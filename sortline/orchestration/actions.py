"""What acts on the world outside the repository: infra validation, publishing, promoting.

Each works in a clone of the run's commit, calls the command that a person would, and leaves what
the next one needs in the run store.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sortline.core.errors import ArtifactError
from sortline.core.graph import read_graph
from sortline.orchestration.clone import cloned
from sortline.orchestration.done_manifest import all_done, commit_run, find_done
from sortline.orchestration.plan import Plan, place_of, read_plan
from sortline.orchestration.run_store import RunStore, safe_name
from sortline.orchestration.settings import Settings
from sortline.orchestration.stage_run import alone

BLESSING = "reports/blessing.json"


@dataclass(frozen=True)
class Action:
    """A command of `sortline` on a run's results.

    Attributes:
        needs: what it reads of the graph's outs and of the data.
        keeps: what it leaves for the next one.
    """

    needs: tuple[str, ...]
    keeps: tuple[str, ...] = ()


ACTIONS = {
    "infra_validate": Action(
        needs=(
            "data/test",
            "artifacts/manifest.parquet",
            "artifacts/saved_model",
            "reports/evaluation/metrics.json",
            "reports/evaluation/predictions.parquet",
            "reports/blessing.json",
        ),
        keeps=("artifacts/version", "reports/infra_blessing.json"),
    ),
    "publish": Action(
        needs=(
            "artifacts/phase2",
            "artifacts/saved_model",
            "reports/blessing.json",
            "reports/evaluation/metrics.json",
        ),
    ),
    "promote": Action(needs=()),
}


def acted_name(run_id: str, action: str) -> str:
    """The file that says what an action did."""
    return f"{place_of(run_id)}/acted/{action}.json"


def blessing_of(store: RunStore, plan: Plan) -> dict[str, Any]:
    """What the gates said of the run's model, as in reports/blessing.json.

    Raises:
        ArtifactError: they have said nothing.
    """
    done = find_done(store, plan, "gate")
    if done is None:
        raise ArtifactError(f"The gates have said nothing of the run {plan.run_id}. Clear gate.")
    blessing: dict[str, Any] = done.metrics[BLESSING]
    return blessing


def why_skipped(name: str, plan: Plan, store: RunStore, settings: Settings) -> str | None:
    """Why an action has nothing to do; None when it has.

    Raises:
        ArtifactError: the gates have said nothing, or refused: nothing may be done then.
    """
    if not blessing_of(store, plan)["blessed"]:
        raise ArtifactError(f"The gates refused the model of {plan.run_id}: {name} will not run.")
    if name != "infra_validate" and plan.dry_run:
        return "this is a dry run"
    if name != "infra_validate" and settings.releases is None:
        return "SORTLINE_RELEASES names no store of releases"
    return None


def _arguments(name: str, plan: Plan, store: RunStore, settings: Settings) -> list[str]:
    if name == "infra_validate":
        return ["infra-validate"]
    if name == "publish":
        return ["publish", str(settings.releases)]
    published = store.read(acted_name(plan.run_id, "publish"))
    if published is None:
        raise ArtifactError(f"Nothing was published in the run {plan.run_id}. Clear publish.")
    # Without servers only the model config file is written, which they poll.
    servers = ["--endpoints", settings.endpoints] if settings.endpoints else []
    return ["promote", str(published["version"]), str(settings.releases), *servers]


def act(name: str, run_id: str, settings: Settings) -> str | None:
    """Do one action for a run; why it had nothing to do, or None.

    Raises:
        ArtifactError: what it needs is not there.
        SortlineError: the command refused.
        UnreachableError: it was lost.
    """
    store = RunStore(settings.run_store)
    plan = read_plan(store, run_id)
    if reason := why_skipped(name, plan, store, settings):
        return reason
    place, files = f"{safe_name(run_id)}.{name}", f"{place_of(run_id)}/files"
    action = ACTIONS[name]
    with alone(settings, place):
        if store.read(acted_name(run_id, name)) is None:
            arguments = _arguments(name, plan, store, settings)
            with cloned(settings, place, plan.revision, plan.files) as clone:
                done = all_done(store, plan, read_graph(clone.folder))
                commit_run(clone, plan, done)
                if action.needs:
                    clone.dvc("pull", "--quiet", *action.needs)
                store.get(files, clone.folder)
                answer: dict[str, Any] = {}
                if name == "publish":  # Its answer names the version, which promote needs.
                    answer = clone.answer(*arguments)
                else:
                    clone.sortline(*arguments)
                for path in map(Path, action.keeps):
                    store.put(clone.folder / path, f"{files}/{path.parent.as_posix()}")
            store.write(acted_name(run_id, name), answer)
    return None
