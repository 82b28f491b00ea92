"""Run by the tests in a process of its own: what the DAG files are, as one JSON document.

Airflow is imported here and not in pytest: its import takes seconds and warns.
"""

import json
import logging
import runpy
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import airflow.sdk  # First: its own imports are not the DAG files'.

DAGS = Path(__file__).parents[2] / "dags"
WATCHED = ("socket.connect", "sqlite3.connect")
HEAVY = ("tensorflow", "great_expectations", "dvc", "pandas", "keras", "numpy", "boto3")
events: list[str] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event in WATCHED:
        events.append(f"{event} {arguments!r}")


def _contexts(dag: Any) -> dict[str, dict[str, Any]]:
    params = dag.params.dump()
    date = datetime(2026, 11, 16, 3, tzinfo=UTC)
    asset = airflow.sdk.Asset(name="sortline_drift", uri="x-sortline://drift")
    plain = {"params": params, "triggering_asset_events": {}}
    scheduled = SimpleNamespace(run_type="scheduled", logical_date=date)
    nothing = SimpleNamespace(run_type="manual", logical_date=None)
    woken = SimpleNamespace(run_type="asset_triggered", logical_date=None)
    return {
        "scheduled": {**plain, "run_id": "scheduled__2026", "dag_run": scheduled, "ds": "2026"},
        "manual": {**plain, "run_id": "manual__2026", "dag_run": nothing},
        "asset": {
            **plain,
            "run_id": "asset__2026",
            "dag_run": woken,
            "triggering_asset_events": {asset: []},
        },
    }


def _known(value: Any, context: dict[str, Any]) -> Any:
    """The value, with a text for what only a run can tell: arguments of a mapped group."""
    from airflow.sdk.definitions._internal.mixins import ResolveMixin

    if isinstance(value, ResolveMixin):
        return context["run_id"]
    if isinstance(value, dict):
        return {name: _known(each, context) for name, each in value.items()}
    return [_known(each, context) for each in value] if isinstance(value, list | tuple) else value


def _rendered(dag: Any, task: Any, context: dict[str, Any]) -> dict[str, Any]:
    import jinja2

    dag.template_undefined = jinja2.StrictUndefined
    environment = dag.get_template_env()
    if task.is_mapped:
        inputs = getattr(task, "op_kwargs_expand_input", task.expand_input)
        kwargs = inputs.value
        return {"mapped": task.render_template(_known(kwargs, context), context, environment)}
    copy = task.prepare_for_execution()
    fields = {
        name: getattr(copy, name)
        for name in ("op_args", "op_kwargs", "arguments", "cmds")
        if hasattr(copy, name)
    }
    return {
        name: copy.render_template(_known(value, context), context, environment)
        for name, value in fields.items()
    }


def _task(dag: Any, task: Any, contexts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "doc": task.doc_md or "",
        "retries": task.retries,
        "timeout_s": task.execution_timeout.total_seconds() if task.execution_timeout else None,
        "pool": task.pool,
        "rule": str(task.trigger_rule),
        "teardown": task.is_teardown,
        "mapped": task.is_mapped,
        "downstream": sorted(task.downstream_task_ids),
        "rendered": {name: _rendered(dag, task, each) for name, each in contexts.items()},
        "outlets": [asset.name for asset in task.outlets],
        "pod": _pod(task),
    }


def _pod(task: Any) -> dict[str, Any] | None:
    if task.is_mapped or not hasattr(task, "build_pod_request_obj"):
        return None
    from kubernetes.client import ApiClient

    copy = task.prepare_for_execution()
    copy.arguments = _known(copy.arguments, {"run_id": "run"})
    made: dict[str, Any] = ApiClient().sanitize_for_serialization(copy.build_pod_request_obj())
    return made


def _dag(dag: Any) -> dict[str, Any]:
    contexts = _contexts(dag)
    return {
        "doc": dag.doc_md or "",
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "params": sorted(dag.params),
        "timetable": type(dag.timetable).__name__,
        "tasks": {task.task_id: _task(dag, task, contexts) for task in dag.tasks},
    }


def main() -> None:
    """Parse, look, print."""
    logging.disable(logging.CRITICAL)
    before = set(sys.modules)
    sys.addaudithook(_watch)
    found: dict[str, Any] = {}
    for path in sorted(DAGS.glob("*.py")):
        started = time.process_time()
        names = runpy.run_path(str(path))
        seconds = time.process_time() - started
        dags = [each for each in names.values() if isinstance(each, airflow.sdk.DAG)]
        found[path.name] = {"cpu_s": seconds, "dags": {each.dag_id: each for each in dags}}
    seen, new = list(events), set(sys.modules) - before
    for entry in found.values():
        entry["dags"] = {name: _dag(dag) for name, dag in entry["dags"].items()}
    heavy = sorted({name.split(".")[0] for name in new} & set(HEAVY))
    print("\n" + json.dumps({"files": found, "events": seen, "heavy": heavy}, default=str))


if __name__ == "__main__":
    main()
