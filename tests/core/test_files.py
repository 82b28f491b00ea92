"""Outputs appear whole or not at all, and two runs do not meet."""

import errno
import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sortline.core.entry import exit_code_of
from sortline.core.errors import ArtifactError, BusyError, DataError, RefusedError, SortlineError
from sortline.core.files import (
    atomic_dir,
    atomic_file,
    digest_tree,
    exclusive,
    read_json,
    read_verified,
    recover_dir,
    write_json,
)
from sortline.core.paths import Paths


class _StopError(Exception):
    pass


def _write_and_stop(file: Path) -> None:
    file.write_text("half")
    raise _StopError


def test_a_failed_write_leaves_the_old_folder_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with atomic_dir(target) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(_StopError), atomic_dir(target) as folder:
        _write_and_stop(folder / "a")
    assert (target / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    write_json(target, {"a": 1})
    with pytest.raises(_StopError), atomic_file(target) as partial:
        _write_and_stop(partial)
    assert read_json(target, "x") == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]


def test_what_a_killed_step_left_is_removed_by_its_next_run(tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "rest").touch()
    with atomic_dir(tmp_path / "out") as folder:
        (folder / "a").touch()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a"]
    assert not (tmp_path / ".out.partial").exists()


def test_a_missing_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="dvc repro export"):
        read_json(tmp_path / "x.json", "dvc repro export")


def test_a_digest_sees_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    one = digest_tree(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    two = digest_tree(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({one, two, digest_tree(tmp_path)}) == 3


def test_a_second_run_is_refused_and_a_killed_one_frees_its_lock(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    hold = (
        "from pathlib import Path; from sortline.core.files import exclusive; import sys\n"
        f"with exclusive(Path({str(lock)!r}), 'x'):\n print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(BusyError, match="already running"), exclusive(lock, "x"):
            pass
        process.kill()
    with exclusive(lock, "x"):
        pass


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (SortlineError("no"), 2, "no"),
        (RefusedError("refused"), 3, "refused"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 2, "disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2, "No permission"),
        (OSError(errno.EROFS, "Read-only file system", "x"), 2, "read-only"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_refusals_are_a_line_and_a_code(
    raised: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        raise raised

    assert exit_code_of(work) == code
    assert said in capsys.readouterr().err


def test_a_full_disk_is_said_and_nothing_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(tmp_path / "old.json", 1)

    def work() -> None:
        with atomic_file(tmp_path / "old.json") as partial:
            partial.symlink_to("/dev/full")  # Every write to it fails as on a full disk.
            partial.write_text("x" * 100_000)

    assert exit_code_of(work) == 2
    assert "disk is full" in capsys.readouterr().err
    assert read_json(tmp_path / "old.json", "x") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]


def test_a_defect_of_ours_keeps_its_traceback() -> None:
    def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        exit_code_of(work)


def test_state_may_lie_outside_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SORTLINE_STATE_DIR", str(tmp_path / "state"))
    assert Paths(tmp_path / "copy").state == tmp_path / "state"
    monkeypatch.delenv("SORTLINE_STATE_DIR")
    assert Paths(tmp_path).state == tmp_path / ".sortline"


_KILLED_SWAP = """
import os, signal, sys
from pathlib import Path
from sortline.core import files

seen, last = [], int(sys.argv[2])
def deadly(owner, name):
    kept = getattr(owner, name)
    def call(*arguments, **named):
        seen.append(name)
        if len(seen) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return kept(*arguments, **named)
    setattr(owner, name, call)
deadly(Path, "rename")
deadly(Path, "mkdir")
deadly(files, "remove")
with files.atomic_dir(Path(sys.argv[1])) as folder:
    (folder / "a").write_text("new")
"""


def test_a_kill_at_any_moment_of_a_swap_loses_neither_folder(tmp_path: Path) -> None:
    ends, died = [], 0
    for moment in range(1, 12):
        target = tmp_path / str(moment) / "out"
        target.mkdir(parents=True)
        (target / "a").write_text("old")
        command = [sys.executable, "-c", _KILLED_SWAP, str(target), str(moment)]
        died += subprocess.run(command, check=False).returncode == -signal.SIGKILL
        recover_dir(target)
        ends.append((target / "a").read_text())
        with atomic_dir(target) as folder:
            (folder / "a").write_text("next")
        assert (target / "a").read_text() == "next"
        assert [path.name for path in target.parent.iterdir()] == ["out"]
    assert 6 <= died < 11, "it was to die at every moment, and to end at last"
    assert ends == sorted(ends, reverse=True), "old until the swap, new from then on"
    assert {"old", "new"} == set(ends)


def test_a_file_that_changed_or_went_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"picture")
    sha256 = hashlib.sha256(b"picture").hexdigest()
    assert read_verified(file, sha256) == b"picture"
    file.write_bytes(b"another")
    with pytest.raises(DataError, match=r"not the file that was validated.*dvc repro validate"):
        read_verified(file, sha256)
    file.unlink()
    with pytest.raises(DataError, match=r"is missing, and it was scored. Run `x` again"):
        read_verified(file, sha256, was="scored", command="x")
