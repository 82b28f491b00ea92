"""What the sidecar of a replica brings, and what it never does to a server that is serving."""

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.release_store import MODEL, fill, promote, record

from sortline.core.errors import RefusedError, ReleaseError
from sortline.core.storage import Limits
from sortline.releases.store import CONFIG, Store, open_store
from sortline.releases.sync import ServedFolder, localised


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Versions 1 to 4; the third is served."""
    root = tmp_path / "releases"
    for version in (1, 2, 3, 4):
        fill(root, version, f"v{version}")
        record(root, version)
    promote(root, {"stable": 3})
    return root


@pytest.fixture
def opened(store: Path) -> Iterator[Store]:
    with open_store(str(store), Limits(1.0, 1)) as each:
        yield each


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    return tmp_path / "models"


def _versions(seen: Path) -> set[str]:
    return {path.name for path in (seen / MODEL).iterdir()}


def _tree(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_replica_gets_what_the_file_names_and_nothing_else(
    store: Path, opened: Store, seen: Path
) -> None:
    wanted = ServedFolder(seen, MODEL).synchronise(opened)
    assert wanted.labels == {"stable": 3}
    assert _versions(seen) == {"3"}
    assert _tree(seen / MODEL / "3") == _tree(store / "3")


def test_the_server_finds_the_versions_where_they_were_brought(opened: Store, seen: Path) -> None:
    ServedFolder(seen, MODEL).synchronise(opened)
    text = (seen / CONFIG).read_text(encoding="utf-8")
    assert f'base_path: "{seen / MODEL}"' in text
    assert "elsewhere" not in text
    again = localised(text.encode(), MODEL, seen / MODEL)
    assert (again.versions, again.labels) == (frozenset({3}), {"stable": 3})


def test_the_file_comes_after_the_versions_that_it_names(
    store: Path, opened: Store, seen: Path
) -> None:
    replica = ServedFolder(seen, MODEL)
    replica.synchronise(opened)
    before = (seen / CONFIG).read_bytes()
    (store / "4" / "saved_model.pb").write_text("changed", encoding="utf-8")
    promote(store, {"stable": 3, "canary": 4})
    with pytest.raises(RefusedError, match=r"saved_model\.pb was changed"):
        replica.synchronise(opened)
    assert (seen / CONFIG).read_bytes() == before
    assert _versions(seen) == {"3"}


def test_a_label_moves_when_the_server_has_been_told_of_the_version(
    store: Path, opened: Store, seen: Path
) -> None:
    replica = ServedFolder(seen, MODEL)
    replica.synchronise(opened)
    promote(store, {"stable": 4})
    told = []
    for _ in range(2):
        replica.synchronise(opened)
        told.append(localised((seen / CONFIG).read_bytes(), MODEL, seen / MODEL))
    assert [(set(each.versions), each.labels) for each in told] == [
        ({3, 4}, {"stable": 3}),
        ({4}, {"stable": 4}),
    ]


def test_a_version_without_a_record_is_not_served(store: Path, opened: Store, seen: Path) -> None:
    (store / "_releases" / "3.json").unlink()
    with pytest.raises(ReleaseError, match="no record"):
        ServedFolder(seen, MODEL).synchronise(opened)
    assert not (seen / CONFIG).exists()


def test_nothing_promoted_yet_is_said(store: Path, opened: Store, seen: Path) -> None:
    (store / CONFIG).unlink()
    with pytest.raises(ReleaseError, match="nothing was promoted yet"):
        ServedFolder(seen, MODEL).synchronise(opened)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("model_config_list {", "not the text of a ModelServerConfig"),
        ("", "and not 'sortline' alone"),
        ('model_config_list { config { name: "other" } }', "names .*other"),
        ('model_config_list { config { name: "sortline" } }', "no specific versions"),
    ],
)
def test_a_file_that_leaves_the_versions_open_is_refused(text: str, what: str) -> None:
    with pytest.raises(ReleaseError, match=what):
        localised(text.encode(), MODEL, Path("/models/sortline"))


def test_versions_stay_until_no_server_can_want_them_and_then_go(
    store: Path, opened: Store, seen: Path
) -> None:
    replica = ServedFolder(seen, MODEL)
    promote(store, {"stable": 1})
    replica.synchronise(opened)
    promote(store, {"stable": 2})
    for _ in range(3):  # However long the server takes to read the new file.
        replica.synchronise(opened)
        assert _versions(seen) == {"1", "2"}
    promote(store, {"stable": 3})
    replica.synchronise(opened)
    assert _versions(seen) == {"2", "3"}


def test_a_sidecar_that_was_restarted_removes_nothing_at_once(
    store: Path, opened: Store, seen: Path
) -> None:
    promote(store, {"stable": 1})
    ServedFolder(seen, MODEL).synchronise(opened)
    promote(store, {"stable": 2})
    ServedFolder(seen, MODEL).synchronise(opened)
    assert _versions(seen) == {"1", "2"}


def test_a_pass_that_changes_nothing_does_not_touch_the_file(opened: Store, seen: Path) -> None:
    replica = ServedFolder(seen, MODEL)
    replica.synchronise(opened)
    before = (seen / CONFIG).stat().st_ino
    replica.synchronise(opened)
    assert (seen / CONFIG).stat().st_ino == before


def _command(store: Path, seen: Path, *more: str) -> list[str]:
    module = "sortline.releases.sync"
    return [
        sys.executable, "-m", module, str(store), "--into", str(seen), "--model", MODEL, *more,
    ]  # fmt: skip


def test_once_ends_with_an_error_that_a_person_can_read(store: Path, seen: Path) -> None:
    (store / CONFIG).unlink()
    done = subprocess.run(
        _command(store, seen, "--once"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("sortline: There is no models.config in ")


def _page(port: int) -> dict[str, float]:
    # Never through a proxy of the environment.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"
    }


def test_a_store_that_breaks_later_leaves_the_server_what_it_has(store: Path, seen: Path) -> None:
    process = subprocess.Popen(
        _command(store, seen, "--every-s", "0.05", "--port", "0"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "stable=3" in process.stdout.readline()
        port = int(re.findall(r"port (\d+)", process.stdout.readline())[0])
        assert _page(port)['sortline_sync_version{label="stable",model="sortline"}'] == 3
        before = _tree(seen)
        (store / CONFIG).write_text("broken {", encoding="utf-8")
        assert "nothing was changed" in process.stderr.readline()
        assert _page(port)['sortline_sync_passes_total{result="failed"}'] >= 1
        assert _tree(seen) == before
        promote(store, {"stable": 4})
        assert "[3, 4] stable=3" in process.stdout.readline()
        assert "[4] stable=4" in process.stdout.readline()
        assert _versions(seen) == {"3", "4"}
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0
