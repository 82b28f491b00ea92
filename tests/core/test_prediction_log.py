"""The prediction log: no row is lost unsaid, and none stands in predicting's way."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.logged import NOON, bucket_server, files_of, rows_of, sent, sha_of, unreadable
from helpers.scripted_server import Script, label_of, picture, serving

from sortline.client import Client
from sortline.core import log_files, prediction_log
from sortline.core.errors import ParamsError
from sortline.core.log_files import (
    LABELS,
    Names,
    open_log,
    prediction_files,
    read_tables,
    written_at,
)
from sortline.core.logged_predictions import Buffer, FileLimits
from sortline.core.prediction_log import Counts, PredictionLog, is_sampled
from sortline.core.storage import Limits


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with bucket_server() as address:
        yield address


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed attempts follow each other at once."""
    monkeypatch.setattr(prediction_log, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(prediction_log, "_LONGEST_WAIT_S", 0.01)


def test_what_was_sent_and_what_came_back_is_in_a_file(tmp_path: Path) -> None:
    answers = [sent(1), sent(2, "jar", 0.5), unreadable(3)]
    with PredictionLog(tmp_path / "log") as log:
        for each in answers:
            log(each)
    assert log.counts == Counts(written=3)
    for row, each in zip(rows_of(tmp_path / "log"), answers, strict=True):
        assert row.pop("probabilities") == pytest.approx(each.probabilities)
        assert row == {name: getattr(each, name) for name in row}
        assert "image" not in row
    # As somebody with a notebook reads it.
    assert pd.read_parquet(tmp_path / "log")["label"].tolist() == ["can", "jar", ""]


def test_images_are_kept_when_asked(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, images=True) as log:
        log(sent(1))
    assert rows_of(tmp_path)[0]["image"] == b"picture 1"


def test_a_client_fills_it(tmp_path: Path) -> None:
    script = Script()
    images = [picture(seed=seed) for seed in range(3)]
    with (
        serving(script) as target,
        PredictionLog(tmp_path) as log,
        Client(target, log=log) as client,
    ):
        client.predict(images)
    assert [row["label"] for row in rows_of(tmp_path)] == [label_of(each) for each in images]


def test_a_full_file_is_followed_by_another(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, max_rows=10) as log:
        for number in range(25):
            log(sent(number))
    assert [len(pd.read_parquet(path)) for path in files_of(tmp_path)] == [10, 10, 5]
    assert [row["sha256"] for row in rows_of(tmp_path)] == [sha_of(n) for n in range(25)]
    times = [written_at(path.name) for path in files_of(tmp_path)]
    assert times == sorted(t for t in times if t)


def test_a_file_is_full_by_its_images_too(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, images=True, max_bytes=1000) as log:
        for number in range(5):
            log(sent(number, image=b"x" * 400))
    assert [len(pd.read_parquet(path)) for path in files_of(tmp_path)] == [3, 2]


def test_a_row_does_not_wait_for_others_for_ever() -> None:
    buffer = Buffer(FileLimits(rows=100, bytes=100, age_s=0.01))
    assert buffer.add(sent(1))
    assert buffer.take() == [sent(1)]  # Would hang.


def test_rows_can_be_had_without_closing(tmp_path: Path) -> None:
    with PredictionLog(tmp_path) as log:
        assert log.flush()
        log(sent(1))
        assert log.flush()
        assert len(rows_of(tmp_path)) == 1
        log(sent(2))
        assert log.flush()
        assert len(rows_of(tmp_path)) == 2


def test_two_writers_never_take_the_same_name(tmp_path: Path) -> None:
    logs = [PredictionLog(tmp_path, max_rows=2) for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: logs[n % 2](sent(n)), range(8)))
    for log in logs:
        log.close()
    assert {row["sha256"] for row in rows_of(tmp_path)} == {sha_of(n) for n in range(8)}
    now = datetime.now(UTC)
    assert len({Names().next(now) for _ in range(100)}) == 100


def test_names_sort_by_time_and_say_it() -> None:
    names, times = Names(), [NOON + timedelta(microseconds=n) for n in (0, 1, 10**6, 86400 * 10**6)]
    found = [names.next(time) for time in times]
    assert found == sorted(found)
    assert [written_at(name) for name in found] == times
    assert written_at("labels.parquet") is None


def test_a_share_of_the_images_is_logged_and_a_retry_gets_the_same_answer(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, share=0.25) as log:
        for number in [*range(2000), *range(2000)]:
            log(sent(number))
    logged = [row["sha256"] for row in rows_of(tmp_path)]
    assert 400 < len(set(logged)) < 600
    assert logged[: len(logged) // 2] == logged[len(logged) // 2 :]
    assert not any(is_sampled(sha_of(number), 0.0) for number in range(100))
    assert is_sampled("f" * 64, 1.0)


@pytest.mark.usefixtures("impatient")
def test_a_storage_that_fails_is_said_once_and_gets_the_rows_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "log"
    folder.write_text("in the way")
    with PredictionLog(folder, max_rows=1) as log:
        log(sent(1))
        log(sent(2))
        assert not log.flush(timeout_s=0.2)
        assert log.counts.failures > 1
        folder.unlink()
        assert log.flush()
    assert log.counts.written == 2
    assert log.counts.dropped == log.counts.lost == 0
    assert len(rows_of(folder)) == 2
    assert len(caplog.records) == 1
    assert "predictions go on" in caplog.text


@pytest.mark.usefixtures("impatient")
def test_what_cannot_be_written_before_the_end_is_counted_as_lost(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.write_text("in the way")
    with PredictionLog(folder, max_rows=2) as log:
        for number in range(5):
            log(sent(number))
    assert (log.counts.written, log.counts.lost) == (0, 5)
    log(sent(6))
    assert log.counts.dropped == 1
    log.close()


def test_a_disk_without_room_leaves_no_half_file(tmp_path: Path) -> None:
    """As `ulimit -f` has it: the kernel writes a part of the file, and then refuses."""
    code = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from sortline.core import prediction_log
from helpers.logged import sent
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
with prediction_log.PredictionLog({str(tmp_path)!r}, images=True) as log:
    log(sent(1, image=bytes(range(256)) * 40))
assert log.counts == prediction_log.Counts(lost=1, failures=2), log.counts
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def silent_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield server


def test_a_storage_that_hangs_does_not_hold_up_predicting(
    silent_server: socket.socket,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_files, "_LIMITS", Limits(10.0, 1))
    log = PredictionLog("s3://logs/x", max_rows=2)
    log(sent(0))
    log(sent(1))
    connection, _ = silent_server.accept()  # From here on its thread waits for an answer.
    with connection, silent_server:
        for number in range(2, 20):
            log(sent(number))  # Would hang.
        assert log.counts == Counts(dropped=10)  # Four files' worth of rows may wait.
        # Of this logger alone: botocore logs too, if an earlier test has turned that on.
        said = [r.getMessage() for r in caplog.records if r.name.startswith("sortline")]
        assert said == ["s3://logs/x: rows come faster than they are written: some are dropped"]
        thread = next(t for t in threading.enumerate() if t.name == "sortline-prediction-log")
        log.close(timeout_s=0.05)
        assert log.counts.lost == 10
    thread.join()


@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_files_that_are_too_old_are_removed_and_nothing_else(
    place: str, bucket: str, tmp_path: Path
) -> None:
    address = str(tmp_path / "log") if place == "folder" else f"{bucket}/retention"
    store, now = open_log(address), datetime.now(UTC)
    ages = {name: Names().next(now - timedelta(days=d)) for name, d in (("old", 31), ("new", 29))}
    labels = Names(LABELS).next(now - timedelta(days=400))
    for name in (*ages.values(), labels, "notes.parquet"):
        store.overwrite(name, b"PAR1")
    with PredictionLog(address, keep_days=30) as log:
        log(sent(1))
    assert log.counts == Counts(written=1, removed=1)
    found = store.names()
    assert ages["old"] not in found
    assert {ages["new"], labels, "notes.parquet"} < set(found)
    store.close()


def test_a_bucket_is_written_to_and_read(bucket: str) -> None:
    with PredictionLog(f"{bucket}/written/here", max_rows=2) as log:
        for number in range(3):
            log(sent(number))
    assert log.counts == Counts(written=3)
    store = open_log(f"{bucket}/written/here")
    rows: list[Any] = []
    for table in read_tables(store, prediction_files(store), ["sha256"]):
        rows += table["sha256"].to_pylist()
    assert rows == [sha_of(number) for number in range(3)]
    first = prediction_files(store)[0]
    assert not store.create(first, b"an attempt whose answer got lost comes again")
    gone = first.replace("-000000", "-000009")
    (table,) = read_tables(store, [gone, first], ["label"])
    assert table.num_rows == 2
    store.close()


def test_rows_that_cannot_be_written_are_lost_alone(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, max_rows=1) as log:
        log(sent(1, model="no text: \udcff"))
        log(sent(2))
    assert log.counts == Counts(written=1, lost=1)
    assert [row["sha256"] for row in rows_of(tmp_path)] == [sha_of(2)]


def test_the_millionth_file_of_a_writer_is_read_as_well() -> None:
    assert written_at(f"20240503T120000.000000-{'a' * 12}-1000000.parquet") == NOON


def test_a_program_that_ends_without_closing_loses_nothing(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from sortline.core.prediction_log import PredictionLog
from helpers.logged import sent
log = PredictionLog({str(tmp_path)!r})
log(sent(1))
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert len(rows_of(tmp_path)) == 1


def test_a_log_that_is_never_used_starts_nothing(tmp_path: Path) -> None:
    before = threading.active_count()
    with PredictionLog(tmp_path / "log"):
        assert threading.active_count() == before
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"share": 1.5}, "share is 1.5; it should be from 0 to 1"),
        ({"max_rows": 0}, "max_rows is 0; it should be above 0"),
        ({"keep_days": 0}, "keep_days is 0; it should be above 0"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(
    settings: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ParamsError, match=said):
        PredictionLog(tmp_path, **settings)


@pytest.mark.parametrize("address", ["", "ftp://host/x", "s3:///x"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ParamsError):
        PredictionLog(address)


def test_a_missing_library_is_said_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ParamsError, match=r"needs pyarrow.*sortline\[serving\]"):
        PredictionLog(tmp_path)


def test_a_client_logs_without_pandas_and_without_what_judges_a_log() -> None:
    code = (
        "import sys; import sortline.client.client, sortline.core.prediction_log;"
        "print([n for n in sys.modules if n.startswith(('pandas', 'pyarrow', 'boto3', 'obstore',"
        " 'tensorflow', 'sortline.monitoring'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
