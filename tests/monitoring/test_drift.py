"""The alert: it comes when the answers moved, not by chance, and says whether to retrain."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.logged import LABELS, NOON, sent, sha_of, unreadable, write_log
from helpers.workspaces import ROOT
from typer.testing import CliRunner, Result

from sortline.cli.main import app
from sortline.core.errors import ArtifactError, DataError, ParamsError
from sortline.core.files import write_json
from sortline.core.logged_predictions import LoggedPrediction
from sortline.monitoring.drift import Window, parse_time, read_reference
from sortline.monitoring.drift_command import Evidence, decide, learned_from

SHARES = (0.5, 0.3, 0.2)
TIMES = ["--since", "2024-05-03T12:00", "--until", "2024-05-04"]


def answers(
    count: int, shares: Sequence[float] = SHARES, *, seed: int = 0
) -> list[LoggedPrediction]:
    """So many answers, with classes of these shares and confidences that lean to 1."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(LABELS, size=count, p=shares)
    sure = 0.4 + 0.6 * generator.beta(4, 1, count)
    first = 100_000 * seed
    return [
        replace(sent(first + n, str(label), float(p)), time=sent(n).time)
        for n, (label, p) in enumerate(zip(labels, sure, strict=True))
    ]


def write_reference(folder: Path, rows: Sequence[LoggedPrediction]) -> None:
    """A run's predictions.parquet, as evaluate writes it."""
    probabilities = np.array([each.probabilities for each in rows])
    frame = pd.DataFrame(
        {
            "path": [f"data/test/{n}.png" for n in range(len(rows))],
            "sha256": [each.sha256 for each in rows],
            "predicted": [each.label or "(invalid)" for each in rows],
            "probability": probabilities.max(axis=1),
            "valid": [each.valid for each in rows],
            **{f"p_{label}": probabilities[:, at] for at, label in enumerate(LABELS)},
        }
    )
    target = folder / "reports" / "evaluation" / "predictions.parquet"
    target.parent.mkdir(parents=True)
    frame.to_parquet(target, index=False)


def pin(folder: Path, md5: str) -> None:
    (folder / "data.dvc").write_text(f"outs:\n- md5: {md5}\n  path: data\n")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a released model in runs/demo, whose data is what data.dvc still pins."""
    run = tmp_path / "runs" / "demo"
    write_reference(run, answers(1500, seed=1))
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    pin(run, "aa11.dir")
    pin(tmp_path, "aa11.dir")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


def ask(*arguments: str, reference: str = "runs/demo") -> Result:
    command = ["drift", "log", "--reference", reference, *arguments]
    return CliRunner().invoke(app, command, catch_exceptions=False)


def found(*arguments: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(ask(*arguments, "--json").stdout)
    return content


def test_answers_like_the_test_splits_are_stable(repository: Path) -> None:
    write_log("log", answers(600, seed=2))
    result = ask(*TIMES)
    assert result.exit_code == 0
    assert result.stdout.startswith("stable: index 0.0")
    assert "retrain: no: there is no drift" in result.stdout
    content = found(*TIMES)
    assert (content["verdict"], content["retrain"]) == ("stable", False)
    assert content["by_class"]["shift"] == content["by_confidence"]["shift"] == "little"
    assert content["window"]["versions"] == {"sortline 3": 600}
    assert content["window"]["since"] == "2024-05-03T12:00:00+00:00"
    assert content["reference_images"] == 1500


def test_a_class_that_comes_twice_as_often_is_a_drift(repository: Path) -> None:
    write_log("log", answers(600, (0.2, 0.2, 0.6), seed=2))
    result = ask()
    assert result.exit_code == 4
    assert result.stdout.startswith("drift: index 0.")
    assert "by class" in result.stdout
    content = found()
    bins = {each["name"]: each for each in content["by_class"]["bins"]}
    assert list(bins) == [*LABELS, "(invalid)"]
    assert bins["sheet"]["window"] == pytest.approx(0.6, abs=0.05)
    total = sum(each["part"] for each in bins.values())
    assert content["by_class"]["index"] == pytest.approx(total, abs=1e-4)
    assert content["by_confidence"]["shift"] == "little"


def test_a_model_that_became_unsure_is_a_drift_though_the_classes_stay(repository: Path) -> None:
    unsure = [
        replace(
            each,
            probabilities=tuple(
                0.5 if p == max(each.probabilities) else 0.25 for p in each.probabilities
            ),
        )
        for each in answers(600, seed=2)
    ]
    write_log("log", unsure)
    content = found()
    assert content["verdict"] == "drift"
    assert content["by_class"]["shift"] == "little"
    assert content["by_confidence"]["shift"] == "large"
    assert "by confidence" in content["reason"]


def test_images_that_cannot_be_read_any_more_are_a_drift(repository: Path) -> None:
    good = answers(600, seed=2)
    write_log("log", [*good[:400], *(unreadable(n) for n in range(200))])
    content = found()
    assert content["verdict"] == "drift"
    last = content["by_class"]["bins"][-1]
    assert (last["name"], last["reference"]) == ("(invalid)", 0.0)


@pytest.mark.parametrize(("count", "code"), [(0, 5), (499, 5), (500, 4)])
def test_too_few_images_are_neither_stable_nor_a_drift(
    repository: Path, count: int, code: int
) -> None:
    Path("log").mkdir()
    write_log("log", answers(count, (0.0, 0.0, 1.0), seed=2))
    result = ask()
    assert result.exit_code == code
    if code == 5:
        assert f"too few: {count} images in the window; it takes 500" in result.stdout
        assert found()["retrain"] is False


def test_a_small_test_split_says_too_little_as_well(repository: Path) -> None:
    write_reference(repository / "runs" / "small", answers(100, seed=1))
    write_log("log", answers(600, seed=2))
    result = ask(reference="runs/small")
    assert result.exit_code == 5
    assert "100 images in the reference" in result.stdout


def test_an_image_that_is_sent_again_and_again_counts_once(repository: Path) -> None:
    again = [sent(7, "sheet")] * 2000
    write_log("log", [*answers(600, seed=2), *again])
    content = found()
    assert content["verdict"] == "stable"
    assert (content["window"]["answers"], content["window"]["images"]) == (2600, 601)


def test_only_the_window_and_the_version_asked_for_are_looked_at(repository: Path) -> None:
    day = 86400
    calm = answers(600, seed=2)
    wild = answers(600, (0.0, 0.0, 1.0), seed=3)
    moved = [replace(each, time=sent(day + n).time, version=4) for n, each in enumerate(wild)]
    write_log("log", [*calm, *moved])
    assert found("--until", "2024-05-04")["verdict"] == "stable"
    assert found("--since", "2024-05-04T12:00+00:00")["verdict"] == "drift"
    assert found("--version", "3")["verdict"] == "stable"
    assert found("--version", "4")["verdict"] == "drift"
    mixed = ask()
    assert "Several versions answered: sortline 3 (600), sortline 4 (600)" in mixed.stdout
    assert ask("--since", "2025-01-01").exit_code == 5


def test_the_threshold_is_params_yamls_or_the_command_lines(repository: Path) -> None:
    write_log("log", answers(600, (0.3, 0.3, 0.4), seed=2))
    index = found()["by_class"]["index"]
    assert 0.1 < index < 0.25
    assert ask().exit_code == 0
    assert "moderate shift" in ask().stdout
    assert ask("--threshold", "0.1").exit_code == 4
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("threshold: 0.25 ", "threshold: 0.1 "))
    assert ask().exit_code == 4


def drifted(repository: Path) -> list[LoggedPrediction]:
    rows = answers(600, (0.0, 0.2, 0.8), seed=2)
    write_log("log", rows)
    return rows


def test_without_new_data_a_drift_is_an_alert_and_no_retraining(repository: Path) -> None:
    drifted(repository)
    content = found()
    assert (content["verdict"], content["retrain"]) == ("drift", False)
    assert "nothing new to learn from: data.dvc pins what" in content["retrain_reason"]


def test_changed_data_makes_it_a_retraining(repository: Path) -> None:
    drifted(repository)
    pin(repository, "bb22.dir")
    content = found()
    assert content["retrain"] is True
    assert content["retrain_reason"] == "data.dvc pins bb22.dir; the model learned from aa11.dir"
    result = ask()
    assert result.exit_code == 4
    assert "retrain: yes" in result.stdout


def test_somebody_may_say_that_there_is_new_data(repository: Path) -> None:
    drifted(repository)
    assert found("--new-data")["retrain"] is True


def test_new_data_without_a_drift_is_no_reason(repository: Path) -> None:
    write_log("log", answers(600, seed=2))
    pin(repository, "bb22.dir")
    assert found("--new-data")["retrain"] is False


@pytest.mark.parametrize(("labelled", "retrain"), [(99, False), (100, True)])
def test_enough_new_labels_make_it_a_retraining(
    repository: Path, labelled: int, retrain: bool
) -> None:
    rows = drifted(repository)
    text = "".join(f"{each.sha256},can\n" for each in rows[:labelled])
    Path("labels.csv").write_text(f"sha256,label\n{sha_of(10**9)},can\n{text}")
    CliRunner().invoke(app, ["labels", "join", "log", "labels.csv"], catch_exceptions=False)
    content = found()
    assert content["retrain"] is retrain
    assert f"{labelled} labelled images" in content["retrain_reason"]


def test_labels_of_images_that_were_trained_on_are_not_new(repository: Path) -> None:
    rows = drifted(repository)
    Path("labels.csv").write_text(
        "sha256,label\n" + "".join(f"{each.sha256},can\n" for each in rows[:150])
    )
    CliRunner().invoke(app, ["labels", "join", "log", "labels.csv"], catch_exceptions=False)
    manifest = repository / "runs/demo/artifacts/manifest.parquet"
    manifest.parent.mkdir()
    pd.DataFrame({"sha256": [each.sha256 for each in rows[:100]]}).to_parquet(manifest)
    assert "50 labelled images" in found()["retrain_reason"]


def test_the_lineage_of_a_release_says_what_its_model_learned_from(repository: Path) -> None:
    drifted(repository)
    write_json(Path("lineage.json"), {"made": {"data": "cc33.dir"}})
    content = found("--lineage", "lineage.json")
    assert content["retrain_reason"] == "data.dvc pins aa11.dir; the model learned from cc33.dir"
    write_json(Path("lineage.json"), {"made": {"data": None}})
    with pytest.raises(DataError, match="names no dataset"):
        ask("--lineage", "lineage.json")


def test_the_lock_says_what_reports_in_the_working_tree_were_made_from(tmp_path: Path) -> None:
    pin(tmp_path, "new.dir")
    assert learned_from(None, tmp_path) == "new.dir"
    deps = "[{path: champion, md5: 00.dir}, {path: data, md5: old.dir}]"
    (tmp_path / "dvc.lock").write_text(f"stages: {{validate: {{deps: {deps}}}}}\n")
    assert learned_from(None, tmp_path) == "old.dir"
    assert learned_from(None, tmp_path / "nowhere") is None


def test_what_is_not_known_is_no_reason_to_retrain() -> None:
    nothing = Evidence(claimed=False, before=None, now="aa", labelled=3, needed=100)
    retrain, reason = decide(drifted=True, evidence=nothing)
    assert not retrain
    assert "is not known (--lineage), and 3 labelled" in reason


def test_a_reference_of_another_model_is_refused(repository: Path) -> None:
    write_log("log", [*answers(600, seed=2), replace(sent(1), label="bulb")])
    with pytest.raises(DataError, match="of the class bulb, which the reference's model"):
        ask()


def test_a_reference_that_is_not_there_or_damaged_is_said(repository: Path) -> None:
    with pytest.raises(ArtifactError, match="dvc repro evaluate"):
        read_reference(Path("runs/none"))
    file = Path("runs/demo/reports/evaluation/predictions.parquet")
    assert read_reference(file.parent)[0] == read_reference(Path("runs/demo"))[0]
    file.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read"):
        read_reference(Path("runs/demo"))


def test_times_are_utc_unless_they_say_otherwise() -> None:
    assert parse_time("2024-05-03T12:00") == NOON
    assert parse_time("2024-05-03T13:00+01:00") == NOON
    assert parse_time("2024-05-03") == datetime(2024, 5, 3, tzinfo=UTC)
    assert parse_time(None) is None
    with pytest.raises(ParamsError, match="'yesterday' is no time"):
        parse_time("yesterday")


def test_a_window_without_a_moment_is_refused() -> None:
    with pytest.raises(ParamsError, match="--since has to be the earlier one"):
        Window(NOON, NOON)


def test_where_a_threshold_decides_confidence_is_still_the_largest_probability(
    tmp_path: Path,
) -> None:
    rows = answers(20)
    write_reference(tmp_path, rows)
    file = tmp_path / "reports/evaluation/predictions.parquet"
    pd.read_parquet(file).assign(probability=0.1).to_parquet(file, index=False)
    _, found = read_reference(tmp_path)
    assert found.confidence == pytest.approx([max(each.probabilities) for each in rows])
