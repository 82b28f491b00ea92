"""A real Airflow for tests: a workspace with dags/, its components, and what a test asks of it."""

import json
import shutil
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from helpers.workspaces import ROOT, git, make_workspace, write_params
from sortline.core.errors import SortlineError
from sortline.orchestration import embedded
from sortline.orchestration.embedded import Components
from sortline.orchestration.embedded_home import Home, prepare
from sortline.orchestration.run_store import safe_name

T = TypeVar("T")
_DEADLINE_S = 1200.0
_POLL_S = 0.1
_OPEN_GATES = {
    "gate": {
        "min_accuracy": 0.0,
        "min_macro_f1": 0.0,
        "min_recall": 0.0,
        "max_ece": 1.0,
        "max_train_test_gap": 1.0,
        "max_latency_ratio": 1000.0,
    },
    "train_phase1": {"epochs": 60, "early_stopping_patience": None, "plateau_patience": None},
}
_VARIABLES = {
    "SORTLINE_RETRY_DELAY_S": "1",
    "SORTLINE_RECIPE": "",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
}


def wait_for(what: Callable[[], T | None], name: str) -> T:
    """What a condition gives once it holds."""
    end = time.monotonic() + _DEADLINE_S
    while time.monotonic() < end:
        if (found := what()) is not None:
            return found
        time.sleep(_POLL_S)
    raise AssertionError(f"{name} did not happen")


@dataclass
class Airflow:
    """A running Airflow, and what a test asks of it."""

    home: Home
    components: Components

    def trigger(self, **conf: Any) -> str:
        return self.home.api().trigger(embedded.DAG_ID, conf)

    def call(self, path: str) -> Any:
        return self.home.api().call("GET", f"/dags/{embedded.DAG_ID}/{path}")

    def run(self, run_id: str) -> Any:
        return self.call(f"dagRuns/{urllib.parse.quote(run_id)}")

    def tasks(self, run_id: str) -> dict[str, Any]:
        path = f"dagRuns/{urllib.parse.quote(run_id)}/taskInstances"
        return {each["task_id"]: each for each in self.call(path)["task_instances"]}

    def states(self, run_id: str) -> dict[str, str]:
        return {name: task["state"] for name, task in self.tasks(run_id).items()}

    def finished(self, run_id: str) -> str:
        def ended() -> str | None:
            try:
                state = str(self.run(run_id)["state"])
            except SortlineError:
                return None
            return state if state in ("success", "failed") else None

        return wait_for(ended, f"the end of {run_id}")

    def stored(self, run_id: str, name: str) -> Any:
        folder = self.home.folder / "remote" / "sortline" / "runs" / safe_name(run_id)
        return json.loads((folder / name).read_text())

    def outcome(self, run_id: str) -> str:
        return str(self.stored(run_id, "record.json")["outcome"])

    def log(self, run_id: str, task: str, attempt: int | None = None) -> str:
        folder = self.home.folder / "logs" / f"dag_id={embedded.DAG_ID}" / f"run_id={run_id}"
        logs = sorted((folder / f"task_id={task}").glob(f"attempt={attempt or '*'}.log"))
        return "\n".join(path.read_text() for path in logs)


def make_repository(folder: Path) -> Path:
    """A workspace with DAG files, whose gates let everything through."""
    make_workspace(folder)
    shutil.copytree(ROOT / "dags", folder / "dags")
    write_params(folder, _OPEN_GATES)
    commit(folder, "gates that let everything through")
    return folder


def commit(folder: Path, message: str) -> None:
    """Commit everything."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes that work in a folder, or name it."""
    found = []
    for process in psutil.process_iter(["cwd", "cmdline"]):
        inside = (process.info["cwd"] or "").startswith(str(folder))
        if inside or str(folder) in " ".join(process.info["cmdline"] or []):
            found.append(" ".join(process.info["cmdline"] or []))
    return found


@contextmanager
def live(repository: Path, database: str | None = None) -> Iterator[Airflow]:
    """Airflow over a repository; fails when a process of it is left."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in _VARIABLES.items():
            patched.setenv(name, value)
        patched.delenv("SORTLINE_STATE_DIR", raising=False)
        home = prepare(repository, repository / ".airflow", 0, database)
        with embedded.running(home, threading.Event()) as components:
            yield Airflow(home, components)
    assert processes_of(repository) == []
