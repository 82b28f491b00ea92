"""The processes of an Airflow on this machine: started, revived, ended with what they started."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

_COMPONENTS = ("api-server", "scheduler", "dag-processor")
_STOP_S = 15.0


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
    found = {p.pid: p for p in psutil.process_iter() if _session_of(p.pid) == process.pid}
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    return list({**found, **{each.pid: each for each in children}}.values())


def _kill(processes: list[psutil.Process]) -> None:
    for each in processes:
        try:
            each.kill()
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
        return [name for name, each in self._processes.items() if each.poll() is not None]

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
        everything = [each for process in own for each in _below(process)]
        for process in own:
            if process.poll() is None:
                process.terminate()
        psutil.wait_procs(everything, timeout=_STOP_S)
        everything += [each for process in own for each in _below(process)]
        _kill([each for each in everything if each.is_running()])
        for process in own:
            process.wait()
