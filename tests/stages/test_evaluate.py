"""Evaluation: figures of the bytes that would be served, on the very files that were validated."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.colour_models import exported, settings, workspace, write_manifest

from pipeline_steps import evaluate
from sortline.core.errors import ArtifactError, DataError
from sortline.core.files import digest_tree, sha256_file
from sortline.core.paths import Paths
from sortline.evaluation.latency import measure, time_in_turns
from sortline.evaluation.scores import Scores, core_metrics, label_ids
from sortline.model.contract import model_digest
from sortline.model.litert import Sources, write_litert
from sortline.model.local_model import load_model
from sortline.reporting.figures import FIGURES
from sortline.reporting.figures.confusion_matrix import confusion_table
from sortline.reporting.figures.mistakes import worst_mistakes


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Thirty pictures; green and blue ones that lead by 10, 20 or 30 are called red."""
    return workspace(tmp_path_factory.mktemp("colours"), bias=35)


@pytest.fixture
def paths(original: Paths, tmp_path: Path) -> Paths:
    shutil.copytree(original.root, tmp_path / "copy")
    return Paths(tmp_path / "copy")


@pytest.fixture
def fixed_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "measure", lambda *_: {"p50_ms": 1.0, "ratio": 0.5})


@pytest.fixture(scope="module")
def evaluated(original: Paths) -> Paths:
    evaluate.run(settings(), original)
    return original


def _metrics(paths: Paths) -> dict[str, Any]:
    text = (paths.reports / "evaluation" / "metrics.json").read_text()
    return json.loads(text)  # type: ignore[no-any-return]


def test_figures_are_those_worked_out_by_hand(evaluated: Paths) -> None:
    found = _metrics(evaluated)
    assert found["accuracy"] == 0.8  # 24 of 30
    assert found["per_class"]["red"] == {
        "precision": 0.625,  # 10 of 16
        "recall": 1.0,
        "f1": pytest.approx(20 / 26, abs=1e-6),
        "support": 10,
    }
    assert found["per_class"]["blue"]["recall"] == 0.7
    assert found["macro_f1"] == pytest.approx((20 / 26 + 2 * 14 / 17) / 3, abs=1e-6)
    assert (found["images"], found["invalid"]) == (30, 0)


def test_the_core_stands_beside_the_grown_set(evaluated: Paths) -> None:
    core = _metrics(evaluated)["core"]
    assert core["images"] == 15  # leads of 10 to 50
    assert core["accuracy"] == pytest.approx(9 / 15)


def test_gaps_are_differences_of_accuracy(evaluated: Paths) -> None:
    gaps = {"train_val": 0.1, "train_test": 0.2, "val_test": 0.1}
    assert _metrics(evaluated)["gaps"] == pytest.approx(gaps)


def test_intervals_hold_their_figures(evaluated: Paths) -> None:
    found = _metrics(evaluated)
    for name in ("accuracy", "macro_f1"):
        low, high = found["intervals"][name]
        assert low < found[name] < high


def test_the_figures_name_the_model_that_was_scored(evaluated: Paths) -> None:
    assert _metrics(evaluated)["model_digest"] == model_digest(evaluated.saved_model)


def test_predictions_have_one_row_an_image(evaluated: Paths) -> None:
    rows = pd.read_parquet(evaluated.reports / "evaluation" / "predictions.parquet")
    row = rows.set_index("path").loc["data/test/blue/010.png"]
    assert (row["label"], row["predicted"], row["correct"], row["valid"]) == ("blue", "red", 0, 1)
    assert len(rows) == 30
    total = rows[["p_blue", "p_green", "p_red"]].sum(axis=1)
    assert total.to_numpy() == pytest.approx(np.ones(30), abs=1e-6)
    assert row["probability"] == row["p_red"]


def test_the_pairs_for_dvc_plots_are_there(evaluated: Paths) -> None:
    pairs = pd.read_csv(evaluated.reports / "evaluation" / "confusion.csv")
    assert list(pairs) == ["actual", "predicted"]
    assert (pairs["actual"] == pairs["predicted"]).sum() == 24


@pytest.mark.parametrize("name", FIGURES)
def test_every_picture_is_drawn(evaluated: Paths, name: str) -> None:
    picture = evaluated.reports / "evaluation" / "figures" / f"{name}.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_latency_names_its_machine_and_its_reference(evaluated: Paths) -> None:
    found = json.loads((evaluated.reports / "evaluation" / "latency.json").read_text())
    assert 0 < found["p50_ms"] <= found["p95_ms"]
    ratio = found["p50_ms"] / found["reference"]["p50_ms"]
    assert found["ratio"] == pytest.approx(ratio, rel=0.01)
    assert found["machine"]["cpu"]
    assert "MobileNetV2" in found["reference"]["name"]
    assert found["calls"] == 5


def test_without_files_for_devices_there_is_nothing_of_them(evaluated: Paths) -> None:
    assert _metrics(evaluated)["litert"] == {}


@pytest.mark.usefixtures("fixed_latency")
def test_files_for_devices_are_scored_beside_the_model(paths: Paths) -> None:
    rows = pd.read_parquet(paths.manifest)
    files = rows[rows["split"] == "test"]
    images = Sources(paths.root, files, files)
    served = load_model(paths.saved_model)
    write_litert(exported(bias=35), served, ["float32"], images, paths.litert)
    evaluate.run(settings(), paths)
    found = _metrics(paths)
    assert found["litert"]["float32"]["accuracy"] == found["accuracy"] == 0.8
    assert found["litert"]["float32"]["accuracy_lost"] == 0.0
    latency = json.loads((paths.reports / "evaluation" / "latency.json").read_text())
    assert latency["litert"]["float32"]["calls"] == 5


def test_files_for_devices_of_another_model_are_refused(paths: Paths) -> None:
    (paths.litert / "facts.json").write_text('{"model_digest": "77aa", "files": {}}')
    with pytest.raises(ArtifactError, match=r"is of the model 77aa, not of"):
        evaluate.run(settings(), paths)


@pytest.mark.usefixtures("fixed_latency")
def test_the_same_inputs_give_the_same_bytes(evaluated: Paths, paths: Paths) -> None:
    evaluate.run(settings(), paths)
    report, again = (p.reports / "evaluation" for p in (evaluated, paths))
    for name in ("metrics.json", "predictions.parquet", "confusion.csv"):
        assert (report / name).read_bytes() == (again / name).read_bytes()


@pytest.mark.usefixtures("fixed_latency")
def test_an_image_that_the_model_cannot_read_counts_as_wrong(paths: Paths) -> None:
    (paths.data / "test" / "red" / "100.png").write_bytes(b"no image at all")
    write_manifest(paths.root)
    evaluate.run(settings(), paths)
    found = _metrics(paths)
    assert found["invalid"] == 1
    assert found["accuracy"] == pytest.approx(23 / 30, abs=1e-6)
    assert found["per_class"]["red"]["recall"] == 0.9
    assert found["per_class"]["red"]["precision"] == 0.6  # 9 of 15: it was called nothing else
    pairs = pd.read_csv(paths.reports / "evaluation" / "confusion.csv")
    assert (pairs["predicted"] == "(invalid)").sum() == 1


@pytest.mark.usefixtures("fixed_latency")
def test_a_split_of_which_nothing_can_be_read_is_refused(paths: Paths) -> None:
    for path in (paths.data / "test").rglob("*.png"):
        path.write_bytes(b"junk")
    write_manifest(paths.root)
    with pytest.raises(DataError, match="none of the 30 test images"):
        evaluate.run(settings(), paths)


def test_a_file_changed_since_validation_is_refused(paths: Paths) -> None:
    path = paths.data / "test" / "red" / "100.png"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match=r"red/100\.png is not the file that was validated"):
        evaluate.run(settings(), paths)


def test_a_refusal_leaves_the_report_before_it(evaluated: Paths, tmp_path: Path) -> None:
    shutil.copytree(evaluated.root, tmp_path / "copy")
    paths = Paths(tmp_path / "copy")
    before = digest_tree(paths.reports)
    (paths.data / "test" / "red" / "100.png").unlink()
    with pytest.raises(DataError, match="is missing"):
        evaluate.run(settings(), paths)
    assert digest_tree(paths.reports) == before


def test_a_class_that_the_model_does_not_know_is_refused() -> None:
    with pytest.raises(DataError, match=r"classes shoes; the model knows glass, metal"):
        label_ids(pd.Series(["glass", "shoes"]), ("glass", "metal"))


def test_an_empty_test_split_is_refused(paths: Paths) -> None:
    manifest = pd.read_parquet(paths.manifest)
    manifest[manifest["split"] == "train"].to_parquet(paths.manifest, index=False)
    with pytest.raises(DataError, match="no test image"):
        evaluate.run(settings(), paths)


def test_without_an_export_it_says_what_to_run(paths: Paths) -> None:
    shutil.rmtree(paths.saved_model)
    with pytest.raises(ArtifactError, match="dvc repro export"):
        evaluate.run(settings(), paths)


def test_without_a_core_its_figures_are_null() -> None:
    scores = Scores(("a", "b"), np.array([[0.9, 0.1]], np.float32), np.array([0]))
    found = core_metrics(np.array([0]), scores, np.array([False]))
    assert found == {"accuracy": None, "macro_f1": None, "images": 0}


def test_calls_are_timed_in_turns_after_a_warm_up() -> None:
    called: list[str] = []
    ours, reference = time_in_turns([lambda: called.append("m")], [lambda: called.append("r")], 3)
    assert called == ["m", "r"] * 8  # five to warm up
    assert (len(ours), len(reference)) == (3, 3)


def test_the_ratio_is_of_the_middle_calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = iter(np.cumsum([0, 2, 0, 1, 0, 2, 0, 1, 0, 90, 0, 1]) / 1000.0)
    module = "sortline.evaluation.latency"
    monkeypatch.setattr(f"{module}.time.perf_counter", lambda: next(clock))
    monkeypatch.setattr(f"{module}.reference_call", lambda: lambda: None)

    class Model:
        def predict_bytes(self, images: list[bytes]) -> None: ...

    (tmp_path / "a.png").write_bytes(b"any")
    row = {"path": "a.png", "sha256": sha256_file(tmp_path / "a.png"), "valid": True}
    found = measure(Model(), pd.DataFrame([row]), tmp_path, 3)  # type: ignore[arg-type]
    assert found["ratio"] == 2.0


def test_the_surest_mistakes_come_first_and_right_or_invalid_ones_never() -> None:
    rows = pd.DataFrame(
        {
            "path": ["a", "b", "c", "d", "e"],
            "probability": [0.6, 0.9, 0.99, 0.9, 0.0],
            "correct": [False, False, True, False, False],
            "valid": [True, True, True, True, False],
        }
    )
    assert list(worst_mistakes(rows, 10)["path"]) == ["b", "d", "a"]
    assert list(worst_mistakes(rows, 1)["path"]) == ["b"]


def test_the_confusion_table_grows_by_a_column_only_for_invalid_images() -> None:
    rows = pd.DataFrame({"label": ["x", "y"], "predicted": ["x", "x"]})
    assert confusion_table(rows, ["x", "y"])[0].tolist() == [[1, 0], [1, 0]]
    counts, names = confusion_table(rows.assign(predicted=["x", "(invalid)"]), ["x", "y"])
    assert names == ["x", "y", "(invalid)"]
    assert counts.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
