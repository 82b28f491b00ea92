"""`sortline airflow up`: Airflow on this machine, from nothing, for one repository.

Everything it keeps is in `.airflow/`; every process it starts ends with it.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import psutil

from sortline.core.errors import SortlineError, UnreachableError
from sortline.core.files import exclusive
from sortline.core.settings import read_settings
from sortline.orchestration.embedded_home import (
    USER,
    Home,
    environment,
    prepare,
    tell_clients,
)

DAG_ID = "waste_retraining"
_POOLS = {"sortline_cpu": 2, "sortline_gpu": 1}
_POLL_S = 0.5
_READY_S = 300.0
_REVIVE_S = 5.0
_STOP_S = 15.0
_COMPONENTS = ("api-server", "scheduler", "dag-processor")


def components_for(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Names of what has to run; tasks that are pods wait in a triggerer."""
    pods = variables.get("SORTLINE_EXECUTION") == "kubernetes"
    return (*_COMPONENTS, "triggerer") if pods else _COMPONENTS


def airflow_command(*arguments: str) -> list[str]:
    """A command of Airflow, in this environment."""
    return [sys.executable, "-m", "airflow", *arguments]


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


def _below(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """What a component has started: its children, and what its session holds when it is dead.

    A scheduler that is killed leaves its workers behind: idle, and forever.
    """
    session = {p.pid: p for p in psutil.process_iter() if _session_of(p.pid) == process.pid}
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    return list({**session, **{child.pid: child for child in children}}.values())


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=_STOP_S)


class Components:
    """Airflow's components, each a session of processes of its own.

    Args:
        folder: where they run, and write logs/NAME.log.
        variables: their environment.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self._folder, self._variables = folder, variables
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Start a component."""
        logs = self._folder / "logs"
        logs.mkdir(exist_ok=True)
        with (logs / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                airflow_command(name),
                cwd=self._folder,
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def dead(self) -> list[str]:
        """Names of components that have ended."""
        return [name for name, process in self._processes.items() if process.poll() is not None]

    def revive(self) -> list[str]:
        """Start again what has ended, once all that it left is gone; names of what it was."""
        dead = self.dead()
        for name in dead:
            _kill(_below(self._processes[name]))
            self.start(name)
        return dead

    def kill(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a component's first process, and wait for its end."""
        self._processes[name].send_signal(number)
        self._processes[name].wait()

    def stop(self) -> None:
        """End every component and everything that they started; returns when all are gone."""
        own = list(self._processes.values())
        everything = [child for process in own for child in _below(process)]
        for process in own:
            if process.poll() is None:
                process.terminate()
        psutil.wait_procs(everything, timeout=_STOP_S)
        everything += [child for process in own for child in _below(process)]
        _kill([child for child in everything if child.is_running()])
        for process in own:
            process.wait()


def migrate(variables: Mapping[str, str]) -> None:
    """Make or update Airflow's tables.

    Raises:
        UnreachableError: the database does not answer.
    """
    done = subprocess.run(
        airflow_command("db", "migrate"), env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise UnreachableError(
            f"Airflow's database cannot be prepared: {done.stderr.strip()[-2000:]}\n"
            "Check SORTLINE_AIRFLOW_DB, or unset it to use SQLite."
        )


def wait_until_ready(home: Home, components: Components, leave: threading.Event) -> None:
    """Return when every component is healthy and the DAG is known.

    Raises:
        UnreachableError: one ended, or it takes longer than five minutes.
    """
    for _ in range(int(_READY_S / _POLL_S)):
        if components.dead():
            break
        try:
            health = home.api().health()
            parts = ("metadatabase", "scheduler", "dag_processor")
            if all(health[part]["status"] == "healthy" for part in parts):
                home.api().call("GET", f"/dags/{DAG_ID}")
                return
        except SortlineError:
            pass  # Not yet: it is asked again.
        if leave.wait(_POLL_S):
            return
    raise UnreachableError(
        f"Airflow did not come up. Look into {home.folder / 'logs'}; is port {home.port} taken?"
    )


def make_pools(home: Home) -> None:
    """The pools that tasks wait for: how many of them run at once."""
    api = home.api()
    pools = {pool["name"] for pool in api.call("GET", "/pools")["pools"]}
    for name, slots in _POOLS.items():
        if name not in pools:
            api.call("POST", "/pools", {"name": name, "slots": slots, "include_deferred": True})


@contextmanager
def running(home: Home, leave: threading.Event) -> Iterator[Components]:
    """Airflow, ready for work, for the length of the block; nothing of it is left after.

    Raises:
        BusyError: it runs already.
        UnreachableError: it does not come up.
    """
    variables = environment(home)
    with ExitStack() as stack:
        stack.enter_context(exclusive(home.folder / "up.lock", "Airflow"))
        migrate(variables)
        components = Components(home.folder, variables)
        stack.callback(components.stop)
        for name in components_for(variables):
            components.start(name)
        wait_until_ready(home, components, leave)
        if not leave.is_set():
            make_pools(home)
        yield components


def up(root: Path, port: int, recipe: str) -> None:
    """`sortline airflow up`: until Ctrl-C or SIGTERM.

    Raises:
        BusyError, UnreachableError: see `running`.
    """
    leave = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        leave.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    database = read_settings().airflow_db
    home = prepare(root, root / ".airflow", port, database.get_secret_value() if database else None)
    print("Starting Airflow; this takes about half a minute ...", flush=True)
    with running(home, leave) as components:
        if leave.is_set():
            return
        tell_clients(home)
        print(f"Airflow is at {home.address}: user {USER}, password {home.password}")
        api = home.api()
        if not api.call("GET", f"/dags/{DAG_ID}/dagRuns?limit=1")["total_entries"]:
            run_id = api.trigger(DAG_ID, {"recipe": recipe})
            print(f"A first run was started, with the recipe {recipe}: {run_id}")
        print("It trains what is committed. Ctrl-C ends it, and all that it started.", flush=True)
        while not leave.wait(_REVIVE_S):
            for name in components.revive():
                print(f"{name} had ended, and was started again.", flush=True)
        print("Ending ...", flush=True)
