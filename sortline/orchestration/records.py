"""How a run ended, from what it left: never from what a scheduler says of its tasks.

One message says it at every ending: in the task's log, and to whoever SORTLINE_NOTIFY_URL names. A
sweep's runs are put side by side.
"""

import json
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from typing import Any

from sortline.core.errors import ArtifactError, ParamsError, UnreachableError
from sortline.core.files import write_json
from sortline.core.graph import read_graph
from sortline.orchestration.actions import ACTIONS, BLESSING, acted_name, why_skipped
from sortline.orchestration.clone import Clone, cloned
from sortline.orchestration.done_manifest import (
    Done,
    all_done,
    branch_of,
    commit_run,
    find_done,
    push_run,
)
from sortline.orchestration.plan import (
    Plan,
    only_drift,
    place_of,
    read_plan,
    record_name,
    trained_name,
)
from sortline.orchestration.run_store import RunStore, safe_name
from sortline.orchestration.settings import Settings

METRICS = "reports/evaluation/metrics.json"
_TIMEOUT_S = 20.0
_ENDINGS = ("blessed", "released", "refused")


@dataclass(frozen=True)
class Record:
    """How a run ended.

    Attributes:
        run_id: the run's.
        outcome: released (published and promoted), blessed (a dry run, or there is no store),
            refused, nothing new, or failed.
        failed_task: the first task that did not do its work, when it failed.
        message: what that task said, or which gates refused, or the run that this one repeats.
        trigger: why it ran.
        revision: the commit that it started from.
        data: MD5 of the dataset.
        identity: of its plan.
        branch: that keeps it, when there is something to keep.
        version: that was published.
        accuracy: on the test split.
        verdicts: of the gates.
    """

    run_id: str
    outcome: str
    failed_task: str | None = None
    message: str = ""
    trigger: str = ""
    revision: str = ""
    data: str = ""
    identity: str = ""
    branch: str | None = None
    version: int | None = None
    accuracy: float | None = None
    verdicts: tuple[dict[str, Any], ...] = ()


def error_name(run_id: str, task: str) -> str:
    """The file that keeps what a task said when it failed."""
    return f"{place_of(run_id)}/errors/{safe_name(task)}.json"


def note_error(store: RunStore, run_id: str, task: str, message: str) -> None:
    """Keep what a task said when it failed, for the record and the notification."""
    store.write(error_name(run_id, task), {"task": task, "message": message})


def _said(store: RunStore, run_id: str, task: str) -> str:
    error = store.read(error_name(run_id, task))
    return str(error["message"]) if error else "it left no message: its process was lost"


def _lost_task(
    store: RunStore, plan: Plan, graph: list[str], done: dict[str, Done], settings: Settings
) -> str | None:
    """The first task that should have done its work, and did not."""
    if missing := [name for name in graph if name not in done]:
        return next((m for m in missing if store.read(error_name(plan.run_id, m))), missing[0])
    if not done["gate"].metrics[BLESSING]["blessed"]:
        return None
    due = [name for name in ACTIONS if why_skipped(name, plan, store, settings) is None]
    return next((name for name in due if store.read(acted_name(plan.run_id, name)) is None), None)


def _outcome(done: dict[str, Done], plan: Plan, settings: Settings) -> str:
    if not done["gate"].metrics[BLESSING]["blessed"]:
        return "refused"
    if plan.dry_run or not settings.releases:
        return "blessed"
    return "released"


def judge(
    store: RunStore, plan: Plan, graph: list[str], done: dict[str, Done], settings: Settings
) -> Record:
    """How a run with a plan ended.

    Args:
        store: what the run left.
        plan: the run's.
        graph: names of all stages.
        done: manifests of those that are done.
        settings: whether there is a store of releases.
    """
    about: dict[str, Any] = {
        "trigger": plan.trigger,
        "revision": plan.revision,
        "data": plan.data,
        "identity": plan.identity,
    }
    if plan.same_as:
        same = "data" if only_drift(plan.trigger) else "data, settings and code"
        message = f"the run {plan.same_as} had the same {same}"
        return Record(plan.run_id, "nothing new", message=message, **about)
    about["branch"] = branch_of(plan.run_id)
    if "evaluate" in done:
        about["accuracy"] = done["evaluate"].metrics[METRICS]["accuracy"]
    if "gate" in done:
        about["verdicts"] = tuple(done["gate"].metrics[BLESSING]["verdicts"])
    if published := store.read(acted_name(plan.run_id, "publish")):
        about["version"] = published["version"]
    if task := _lost_task(store, plan, graph, done, settings):
        message = _said(store, plan.run_id, task)
        return Record(plan.run_id, "failed", failed_task=task, message=message, **about)
    refusals = [verdict for verdict in about.get("verdicts", ()) if not verdict["passed"]]
    message = "; ".join(f"{verdict['gate']}: {verdict['reason']}" for verdict in refusals)
    return Record(plan.run_id, _outcome(done, plan, settings), message=message, **about)


def _keep(store: RunStore, plan: Plan, clone: Clone, settings: Settings) -> Record:
    graph = list(read_graph(clone.folder))
    done = all_done(store, plan, graph)
    record = judge(store, plan, graph, done, settings)
    if record.branch:
        commit_run(clone, plan, done)
        write_json(clone.folder / "run.json", asdict(record))
        push_run(clone, plan, summary(record))
    return record


def summary(record: Record) -> str:
    """The record as the lines of a message for a person."""
    lines = [f"Retraining {record.run_id}: {record.outcome}"]
    if record.failed_task:
        lines.append(f"at {record.failed_task}: {record.message}")
    elif record.message:
        lines.append(record.message)
    if record.accuracy is not None:
        lines.append(f"accuracy on the test split: {record.accuracy:.4f}")
    if record.version is not None:
        lines.append(f"version {record.version}")
    lines.append(f"trigger: {record.trigger or 'unknown'}; data: {record.data or 'unknown'}")
    if record.branch:
        lines.append(f"kept on the branch {record.branch}")
    return "\n".join(lines)


def make_record(run_id: str, settings: Settings) -> Record:
    """Write how a run ended; push its branch; keep an identical run from being repeated.

    A run that failed, or whose model could not be published, can be repeated.

    Raises:
        UnreachableError: the repository or the run store does not answer.
    """
    store = RunStore(settings.run_store)
    if store.read(f"{place_of(run_id)}/plan.json") is None:
        task = "resolve_revision"
        record = Record(run_id, "failed", failed_task=task, message=_said(store, run_id, task))
    elif (plan := read_plan(store, run_id)).same_as:
        record = judge(store, plan, [], {}, settings)
    else:
        place = f"{safe_name(run_id)}.record"
        with cloned(settings, place, plan.revision, plan.files) as clone:
            record = _keep(store, plan, clone, settings)
        if record.outcome in _ENDINGS:
            store.write(record_name(plan.identity, dry_run=plan.dry_run), asdict(record))
            store.write(trained_name(plan.data), asdict(record))
    store.write(f"{place_of(run_id)}/record.json", asdict(record))
    return record


def post(url: str, text: str) -> None:
    """Send a message: to a web address as JSON, {"text": ...}, or to any that Apprise knows.

    Raises:
        ParamsError: Apprise knows no such address.
        UnreachableError: it cannot be delivered.
    """
    if not url.startswith(("http://", "https://")):
        from apprise import Apprise  # Late: it loads a module for each of its services.

        channel = Apprise()
        if not channel.add(url):
            raise ParamsError(
                "SORTLINE_NOTIFY_URL is neither a web address nor one that Apprise knows:"
                " https://appriseit.com lists those, e.g. mailtos://USER:PASSWORD@HOST."
            )
        if not channel.notify(body=text):
            raise UnreachableError(
                "SORTLINE_NOTIFY_URL does not take messages. The lines of Apprise, above, say why."
            )
        return
    body = json.dumps({"text": text}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
            pass
    except (urllib.error.URLError, OSError) as error:
        raise UnreachableError(f"SORTLINE_NOTIFY_URL does not take messages: {error}.") from error


def notify(run_id: str, settings: Settings) -> str:
    """Say how a run ended; the text that was said.

    Raises:
        ArtifactError: the run has no record.
        UnreachableError: the message cannot be delivered.
    """
    facts = RunStore(settings.run_store).read(f"{place_of(run_id)}/record.json")
    if facts is None:
        raise ArtifactError(f"The run {run_id} has no record. Clear record, which was to write it.")
    record = Record(**{**facts, "verdicts": tuple(facts["verdicts"])})
    text = summary(record)
    if record.outcome == "nothing new" and "drift" in record.trigger:
        text += "\nThe predictions drifted, and there is no new data to learn from: look."
    if settings.notify_url:
        post(settings.notify_url, text)
    return text


@dataclass(frozen=True)
class Variant:
    """A run of a sweep; None where it did not come so far."""

    run_id: str
    recipe: str
    accuracy: float | None
    macro_f1: float | None
    blessed: bool | None


def _variant(store: RunStore, plan: Plan) -> Variant:
    evaluated, gated = (find_done(store, plan, name) for name in ("evaluate", "gate"))
    metrics: dict[str, Any] = evaluated.metrics[METRICS] if evaluated else {}
    blessed = gated.metrics[BLESSING]["blessed"] if gated else None
    accuracy, macro_f1 = metrics.get("accuracy"), metrics.get("macro_f1")
    return Variant(plan.run_id, plan.recipe or "params.yaml", accuracy, macro_f1, blessed)


def variants(run_id: str, store: RunStore) -> list[Variant]:
    """The variants of a sweep, the most accurate first.

    Raises:
        ArtifactError: it has none.
    """
    prefix = f"runs/{safe_name(run_id)}-variant-"
    names = [n for n in store.names("runs") if n.startswith(prefix) and n.endswith("/plan.json")]
    if not names:
        raise ArtifactError(f"The sweep {run_id} has no variant with a plan: look at its tasks.")
    plans = [read_plan(store, store.read(name)["run_id"]) for name in names]
    rows = [_variant(store, plan) for plan in plans]
    return sorted(rows, key=lambda row: row.accuracy or 0.0, reverse=True)


def variant_table(rows: list[Variant]) -> str:
    """The variants as Markdown."""
    from sortline.reporting.pages import markdown_table

    words = {True: "passed", False: "refused", None: "-"}
    cells = [
        (
            row.run_id,
            row.recipe,
            *("-" if n is None else f"{n:.4f}" for n in (row.accuracy, row.macro_f1)),
            words[row.blessed],
        )
        for row in rows
    ]
    return markdown_table(("variant", "recipe", "accuracy", "macro-F1", "gates"), cells)
