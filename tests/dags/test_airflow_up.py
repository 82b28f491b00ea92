"""`sortline airflow up`: from nothing to a first run; Ctrl-C leaves no process and no open port."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from helpers.live_airflow import processes_of
from helpers.plans_only import make_small_repository, planning_python
from helpers.workspaces import environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def _until(process: "subprocess.Popen[str]", text: str) -> str:
    """What it prints, up to a line with this text."""
    said = ""
    for line in process.stdout or ():
        said += line
        if text in line:
            return said
    raise AssertionError(f"it ended before it said {text!r}: {said}")


def test_ctrl_c_ends_all_that_was_started(tmp_path: Path) -> None:
    repository = make_small_repository(tmp_path / "repository")
    python = planning_python(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-m", "sortline", "airflow", "up", "--port", "0"],
        cwd=repository,
        env=environment(SORTLINE_PYTHON=str(python), PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        said = _until(process, "Ctrl-C ends it")
        address = re.search(r"http://127\.0\.0\.1:(\d+): user admin, password \S+", said)
        assert address, said
        assert "A first run was started, with the recipe demo" in said
        assert len(psutil.Process(process.pid).children(recursive=True)) > 3
        os.killpg(process.pid, signal.SIGINT)  # As a terminal does: to everything in front.
        assert "Ending" in _until(process, "Ending")
        assert process.wait() == 0
    assert processes_of(repository) == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(address[1]))) != 0
