"""Live accuracy: of the images whose label is known, each once, and not a label lost or torn."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.logged import bucket_server, sent, sha_of, unreadable, write_log
from rich.console import Console
from typer.testing import CliRunner

from sortline.cli.main import app
from sortline.core.errors import ArtifactError, DataError
from sortline.core.label_files import known_labels, read_csv
from sortline.core.log_files import open_log
from sortline.evaluation.metrics import wilson
from sortline.monitoring.live_labels import Joined, join, table_of

OTHER = "0" * 64


def csv_of(path: Path, *rows: tuple[str, str]) -> Path:
    path.write_text("".join(f"{a},{b}\n" for a, b in (("sha256", "label"), *rows)))
    return path


def joined(address: str | Path, path: Path) -> Joined:
    store = open_log(address)
    try:
        return join(store, path)
    finally:
        store.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Version 3 answered four pictures, of which it could not read one; version 4 two of them."""
    old = [sent(1), sent(2), sent(3, "jar"), unreadable(4)]
    new = [sent(1, version=4), sent(2, "sheet", version=4)]
    write_log(tmp_path / "log", [*old, *new])
    return tmp_path / "log"


def test_accuracy_is_counted_by_version(log: Path, tmp_path: Path) -> None:
    labels = [(sha_of(1), "can"), (sha_of(2), "sheet"), (sha_of(4), "can")]
    found = joined(log, csv_of(tmp_path / "labels.csv", *labels))
    third, fourth = found.versions
    assert (third.version, third.answers, third.labelled) == (3, 4, 3)
    assert (third.right, third.invalid) == (1, 1)
    assert third.accuracy == pytest.approx(1 / 3)
    assert third.interval == wilson(1, 3)
    assert (fourth.version, fourth.labelled, fourth.right) == (4, 2, 2)
    assert (found.rows, found.unknown, found.changed) == (3, 0, 0)


def test_an_image_sent_twice_counts_once_with_its_latest_answer(tmp_path: Path) -> None:
    answers = [sent(1, "jar"), *(sent(1, "can", time=sent(9).time) for _ in range(3)), sent(2)]
    write_log(tmp_path / "log", answers)
    found = joined(tmp_path / "log", csv_of(tmp_path / "l.csv", (sha_of(1), "can")))
    assert [(each.labelled, each.right) for each in found.versions] == [(1, 1)]


def test_the_latest_label_of_an_image_counts_and_the_others_are_counted(
    log: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    rows = [(sha_of(1), "jar"), (sha_of(1).upper(), "jar"), (sha_of(1), "can"), (OTHER, "can")]
    found = joined(log, csv_of(first, *rows))
    assert (found.rows, found.duplicates, found.relabelled, found.unknown) == (4, 2, 1, 1)
    assert found.versions[0].right == 1
    again = joined(log, csv_of(second, (sha_of(1), "sheet"), (sha_of(2), "can")))
    assert again.changed == 1
    assert (again.versions[0].labelled, again.versions[0].right) == (2, 1)
    assert known_labels(open_log(log)) == {sha_of(1): "sheet", sha_of(2): "can", OTHER: "can"}


def test_repeating_a_join_changes_nothing(log: Path, tmp_path: Path) -> None:
    labels = csv_of(tmp_path / "labels.csv", (sha_of(1), "can"), (sha_of(2), "jar"))
    first = joined(log, labels)
    assert first.written is not None
    assert (log / first.written).is_file()
    again = joined(log, labels)
    assert again.written is None
    assert again.versions == first.versions
    assert len(list((log / "labels").iterdir())) == 1


def test_a_label_of_an_image_that_is_logged_later_is_not_lost(log: Path, tmp_path: Path) -> None:
    assert joined(log, csv_of(tmp_path / "early.csv", (sha_of(50), "can"))).unknown == 1
    write_log(log, [sent(50)])
    found = joined(log, csv_of(tmp_path / "none.csv"))
    assert [(each.labelled, each.right) for each in found.versions] == [(1, 1)]


def test_a_misspelt_class_is_pointed_out(log: Path, tmp_path: Path) -> None:
    found = joined(log, csv_of(tmp_path / "l.csv", (sha_of(1), "cann"), (sha_of(2), "can")))
    assert found.unseen_labels == ("cann",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("sha,label\n", "has no column sha256"),
        ("", "has no column sha256"),
        (f"sha256,label\n{OTHER},can\nabc,jar\n", "line 3: sha256 is 'abc'"),
        (f"sha256,label\n{OTHER},\n", "line 2: .* label ''"),
        (f"sha256,label\n{OTHER}\n", "line 2: .* label ''"),
    ],
)
def test_a_list_with_a_fault_is_not_joined_at_all(
    log: Path, tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=said):
        joined(log, path)
    assert not (log / "labels").exists()


def test_bytes_that_are_no_text_are_refused(log: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(b"sha256,label\n\xff\xfe\n")
    with pytest.raises(DataError, match="cannot be read"):
        read_csv(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_csv(tmp_path / "missing.csv")


def test_a_spreadsheets_export_is_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(f"\ufeffwho,label,sha256\r\nme, can ,{OTHER}\r\n".encode())
    assert read_csv(path).labels == {OTHER: "can"}


def test_a_damaged_file_of_the_log_is_named_and_nothing_is_written(
    log: Path, tmp_path: Path
) -> None:
    file = next(log.glob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=file.name):
        joined(log, csv_of(tmp_path / "labels.csv", (sha_of(1), "can")))
    assert not (log / "labels").exists()


def test_a_log_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is no folder"):
        joined(tmp_path / "nowhere", csv_of(tmp_path / "l.csv", (sha_of(1), "can")))


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with bucket_server() as address:
        yield address


def test_a_log_in_a_bucket_is_joined(bucket: str, tmp_path: Path) -> None:
    write_log(f"{bucket}/log", [sent(1), sent(2)])
    labels = csv_of(tmp_path / "labels.csv", (sha_of(1), "can"), (sha_of(2), "jar"))
    found = joined(f"{bucket}/log", labels)
    assert [(each.labelled, each.right) for each in found.versions] == [(2, 1)]
    assert joined(f"{bucket}/log", labels).written is None


def test_the_command_prints_a_table_or_json(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    labels = csv_of(tmp_path / "labels.csv", (sha_of(1), "can"), (sha_of(2), "jar"))
    shown = CliRunner().invoke(app, ["labels", "join", str(log), str(labels)])
    assert shown.exit_code == 0, shown.output
    for wanted in ("2 labels", "50.0%", "9.5% to 90.5%", "Wilson", "labels/2"):
        assert wanted in shown.stdout
    told = CliRunner().invoke(app, ["labels", "join", str(log), str(labels), "--json"])
    found = json.loads(told.stdout)
    assert found["written"] is None
    assert found["versions"][0]["accuracy"] == 0.5
    assert found["versions"][0]["interval"] == list(wilson(1, 2))


def test_without_a_labelled_image_there_is_no_accuracy(log: Path, tmp_path: Path) -> None:
    labels = csv_of(tmp_path / "labels.csv", (OTHER, "can"))
    shown = CliRunner().invoke(app, ["labels", "join", str(log), str(labels)])
    assert "there is no live accuracy yet" in shown.stdout


def test_a_terminal_of_80_columns_shows_the_whole_table(log: Path, tmp_path: Path) -> None:
    found = joined(log, csv_of(tmp_path / "labels.csv", (sha_of(1), "can")))
    drawn = io.StringIO()
    Console(file=drawn, width=80).print(table_of(found))
    assert "20.7% to 100.0%" in drawn.getvalue()
    assert "\N{HORIZONTAL ELLIPSIS}" not in drawn.getvalue()


def test_a_file_that_is_too_old_and_removed_meanwhile_is_passed_over(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_log(log)
    names = store.names()
    gone = names[0].replace("-000000", "-000009")
    monkeypatch.setattr(store, "names", lambda: [gone, *names])
    found = join(store, csv_of(tmp_path / "labels.csv", (sha_of(1), "can")))
    assert [each.version for each in found.versions] == [3, 4]
