"""A task's process: what its end means, and that it never outlives its task."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sortline.orchestration.local_runner import Failed, Lost, Skipped, ending_of, run

_STUB = """\
#!{python}
import os, sys, time
from sortline.orchestration.local_runner import end_with_parent
end_with_parent()
what = sys.argv[3]
if what == "sleep":
    child = os.fork()
    if child:
        print(os.getpid(), child, flush=True)
    time.sleep(600)
elif what == "kill":
    os.kill(os.getpid(), 9)
elif what == "refuse":
    print("sortline: the first line")
    print("the second line")
    sys.exit(2)
sys.exit(int(what))
"""


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for the project's Python: its third argument says how to end."""
    path = tmp_path / "python"
    path.write_text(_STUB.format(python=sys.executable))
    path.chmod(0o755)
    monkeypatch.setenv("SORTLINE_PYTHON", str(path))
    return path


@pytest.mark.parametrize(
    ("status", "ending"),
    [
        (0, type(None)),
        (99, Skipped),
        (75, Lost),
        (-9, Lost),
        (137, Lost),
        (1, Failed),
        (2, Failed),
        (3, Failed),
    ],
)
def test_only_what_may_work_again_is_lost(status: int, ending: type) -> None:
    assert type(ending_of(status, "")) is ending


def test_nothing_to_do_is_told_from_a_refusal_and_a_kill(stub: Path) -> None:
    run(["0"])
    with pytest.raises(Skipped):
        run(["99"])
    with pytest.raises(Failed):
        run(["2"])
    with pytest.raises(Lost):
        run(["kill"])


def test_a_refusal_is_passed_on_whole_and_every_line_is_logged(
    stub: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(Failed, match=r"first line\nthe second"):
        run(["refuse"])
    assert "the second line" in caplog.messages


def _is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_command_ends_with_the_task_that_started_it(
    stub: Path, number: signal.Signals, tmp_path: Path
) -> None:
    code = (
        "import logging, sys; logging.basicConfig(stream=sys.stdout, format='%(message)s',"
        " level=20); from sortline.orchestration.local_runner import run; run(['sleep'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ
    ) as task:
        assert task.stdout is not None
        pids = [int(each) for each in task.stdout.readline().split()]
        task.send_signal(number)
        task.wait()
        assert task.stdout.read() == ""  # At its end every process that held the pipe is gone.
    waiting = [pid for pid in pids if not _is_gone(pid)]
    deadline = 2000
    while waiting and deadline:
        waiting, deadline = [pid for pid in waiting if not _is_gone(pid)], deadline - 1
        os.sched_yield()
    assert len(pids) == 2
    assert waiting == []
