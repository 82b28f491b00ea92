"""The gate: a model reaches clients only if it is good enough and no worse than theirs."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.colour_models import LABELS, export, paint, settings, workspace, write_manifest
from typer.testing import CliRunner

from pipeline_steps import evaluate, gate
from sortline.cli.main import app
from sortline.core.entry import exit_code_of
from sortline.core.errors import DataError, GateError, ParamsError
from sortline.core.files import write_json
from sortline.core.paths import Paths
from sortline.evaluation.blessing import Blessing, current_blessing
from sortline.evaluation.champion import use
from sortline.evaluation.gates import GATES, Candidate, Verdict
from sortline.model.contract import (
    PREDICT_TENSOR,
    Contract,
    read_contract,
    write_contract,
)

REPOSITORY = Path(__file__).parents[2]
LATENCY = {
    "p50_ms": 6.0,
    "p95_ms": 9.0,
    "ratio": 0.5,
    "calls": 5,
    "machine": {"cpu": "a processor"},
    "reference": {"p50_ms": 12.0},
}
NOTHING_ASKED = dict.fromkeys(
    (
        "min_accuracy",
        "min_macro_f1",
        "min_recall",
        "max_ece",
        "max_train_test_gap",
        "max_latency_ratio",
        "max_size_mb",
    )
)
Models = Callable[..., Path]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Exported models by bias and labels, each written once."""
    folder = tmp_path_factory.mktemp("models")

    def model(bias: float = 0.5, labels: Sequence[str] = LABELS) -> Path:
        target = folder / f"{bias}-{'-'.join(labels)}"
        if not target.exists():
            export(target, labels=labels, bias=bias)
        return target

    return model


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A candidate that gets 24 of 30 right: it calls red what leads by 30 or less in another."""
    paths = workspace(tmp_path_factory.mktemp("candidate"), bias=35)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "measure", lambda *_: LATENCY)
        evaluate.run(settings(), paths)
    return paths


@pytest.fixture
def paths(evaluated: Paths, tmp_path: Path) -> Paths:
    shutil.copytree(evaluated.root, tmp_path / "work")
    return Paths(tmp_path / "work")


def _gated(paths: Paths, **asked: Any) -> dict[str, Verdict]:
    """Verdicts by gate, of the settings `asked` alone."""
    blessing = gate.run(settings(gate={**NOTHING_ASKED, **asked}), paths)
    return {verdict.gate: verdict for verdict in blessing.verdicts}


@pytest.mark.parametrize(
    ("name", "asked", "passed"),
    [
        ("min_accuracy", 0.8, True),
        ("min_accuracy", 0.81, False),
        ("min_macro_f1", 0.80, True),
        ("min_macro_f1", 0.81, False),
        ("min_recall", 0.7, True),
        ("min_recall", 0.71, False),
        ("max_ece", 0.13, True),
        ("max_ece", 0.12, False),
        ("max_train_test_gap", 0.2, True),
        ("max_train_test_gap", 0.19, False),
        ("max_latency_ratio", 0.5, True),
        ("max_latency_ratio", 0.49, False),
        ("max_size_mb", 1.0, True),
        ("max_size_mb", 0.05, False),
    ],
)
def test_each_gate_at_its_threshold(paths: Paths, name: str, asked: float, passed: bool) -> None:
    verdicts = _gated(paths, **{name: asked})
    assert list(verdicts) == [name]  # null is not asked
    assert verdicts[name].passed is passed
    assert verdicts[name].required == asked


def test_a_reason_has_its_error_bar(paths: Paths) -> None:
    verdicts = _gated(paths, min_accuracy=0.5, min_recall=0.5, max_train_test_gap=0.9)
    assert "0.800 (95 %: 0.667 to 0.933) on 30 test images" in verdicts["min_accuracy"].reason
    assert "worst class blue: recall 0.700 (95 %: 0.397 to" in verdicts["min_recall"].reason
    assert "1.000 on train minus 0.800 (95 %:" in verdicts["max_train_test_gap"].reason


def test_the_classes_below_the_floor_are_counted(paths: Paths) -> None:
    reason = _gated(paths, min_recall=0.9)["min_recall"].reason
    assert reason.endswith("2 classes are below the floor")


def test_an_empty_list_of_gates_is_refused(paths: Paths) -> None:
    with pytest.raises(GateError, match="empty list of gates"):
        _gated(paths)
    assert not (paths.reports / "blessing.json").exists()


def test_a_champion_alone_is_a_gate(paths: Paths, models: Models) -> None:
    use(str(models(35)), paths)
    assert "champion_accuracy" in _gated(paths)


def test_figures_of_another_model_are_refused(paths: Paths, models: Models) -> None:
    shutil.rmtree(paths.saved_model)
    shutil.copytree(models(15), paths.saved_model)
    with pytest.raises(GateError, match="Only what was scored may be gated"):
        _gated(paths, min_accuracy=0.5)


def test_the_blessing_is_what_publishing_reads(paths: Paths) -> None:
    _gated(paths, min_accuracy=0.81, max_size_mb=1.0)
    content = json.loads((paths.reports / "blessing.json").read_text())
    assert list(content) == ["blessed", "candidate", "champion", "verdicts"]
    assert content["blessed"] is False
    assert content["champion"] is None
    assert content["candidate"] == read_contract(paths.saved_model).model_digest
    size, accuracy = content["verdicts"]  # By their names.
    assert list(accuracy) == ["gate", "passed", "observed", "required", "reason"]
    assert (accuracy["passed"], accuracy["observed"], accuracy["required"]) == (False, 0.8, 0.81)
    assert size["passed"] is True


def test_the_markdown_says_the_same(paths: Paths) -> None:
    _gated(paths, min_accuracy=0.81)
    text = (paths.reports / "blessing.md").read_text()
    assert text.startswith("# refused by min_accuracy: candidate ")
    assert "| min_accuracy | refused | 0.8 | 0.81 | accuracy 0.800 (95 %" in text


def test_a_waiver_cannot_break_the_markdown_table() -> None:
    verdict = Verdict("g", True, None, 1.0, "a | b\nc")
    rows = gate.markdown(Blessing("0" * 64, None, (verdict,))).splitlines()
    assert rows[-1] == "| g | passed | - | 1 | a \\| b c |"


# Against a champion. Biases of 5, 15, 35 get 30, 28, 24 of the 30 pictures right.


def test_a_candidate_no_worse_than_the_champion_is_blessed(paths: Paths, models: Models) -> None:
    champion, _ = use(str(models(55)), paths)
    verdict = _gated(paths)["champion_accuracy"]
    assert verdict.passed
    assert champion is not None
    assert champion.digest[:12] in verdict.reason
    assert read_contract(paths.saved_model).model_digest[:12] in verdict.reason
    assert "+0.1333 in accuracy on 30 images, 4 gained and 0 lost" in verdict.reason
    assert json.loads((paths.reports / "blessing.json").read_text())["champion"] == champion.digest


def test_a_candidate_worse_than_the_champion_is_refused(paths: Paths, models: Models) -> None:
    use(str(models(5)), paths)
    verdict = _gated(paths)["champion_accuracy"]
    assert not verdict.passed
    assert "-0.2000 in accuracy on 30 images, 0 gained and 6 lost" in verdict.reason
    assert verdict.required == -0.005
    assert isinstance(verdict.observed, float)
    assert verdict.observed < -0.2  # the bound, not the difference


def test_it_has_to_be_certain_that_the_margin_holds(paths: Paths, models: Models) -> None:
    """Six of thirty lost: the difference is within 0.25, the 95 % bound of it is not."""
    use(str(models(5)), paths)
    assert not _gated(paths, margin=0.25)["champion_accuracy"].passed
    assert _gated(paths, margin=0.4)["champion_accuracy"].passed


def test_another_model_with_the_same_answers_is_no_worse(paths: Paths, models: Models) -> None:
    use(str(models(36)), paths)
    verdict = _gated(paths, margin=0.0)["champion_accuracy"]
    assert verdict.passed
    assert "0 gained and 0 lost" in verdict.reason


def test_the_champion_itself_is_not_compared_with_itself(paths: Paths) -> None:
    use(str(paths.saved_model), paths)
    verdict = _gated(paths, margin=0.0)["champion_accuracy"]
    assert verdict.passed
    assert "are the same model" in verdict.reason


def test_the_same_inputs_give_the_same_blessing(paths: Paths, models: Models) -> None:
    use(str(models(5)), paths)
    _gated(paths, min_accuracy=0.5)
    before = (paths.reports / "blessing.json").read_bytes()
    _gated(paths, min_accuracy=0.5)
    assert (paths.reports / "blessing.json").read_bytes() == before


def test_other_classes_are_refused_and_compared_by_name(paths: Paths, models: Models) -> None:
    use(str(models(5, ("amber", "green", "red"))), paths)
    verdicts = _gated(paths)
    classes = verdicts["champion_classes"]
    assert not classes.passed
    assert "new blue; gone amber" in classes.reason
    assert "gate.waivers.champion_classes" in classes.reason
    # Green and red only: the candidate calls three of twenty wrongly, the champion none.
    assert "-0.1500 in accuracy on 20 images of 30" in verdicts["champion_accuracy"].reason


def test_other_classes_pass_only_with_a_reason_that_is_recorded(
    paths: Paths, models: Models
) -> None:
    use(str(models(55, ("amber", "green", "red"))), paths)
    waivers = {"champion_classes": "amber is sorted by hand now"}
    verdicts = _gated(paths, waivers=waivers)
    assert verdicts["champion_classes"].passed
    assert "waived: amber is sorted by hand now" in verdicts["champion_classes"].reason
    assert "amber is sorted by hand now" in (paths.reports / "blessing.md").read_text()


def test_the_same_classes_with_other_ids_are_other_classes(paths: Paths, models: Models) -> None:
    use(str(models(35, ("green", "blue", "red"))), paths)
    verdicts = _gated(paths)
    assert "other ids" in verdicts["champion_classes"].reason
    assert not verdicts["champion_classes"].passed
    assert "+0.0000 in accuracy" in verdicts["champion_accuracy"].reason  # by name: no difference


def test_with_no_class_in_common_nothing_can_be_compared(paths: Paths, models: Models) -> None:
    use(str(models(5, ("amber", "cyan"))), paths)
    verdict = _gated(paths)["champion_accuracy"]
    assert not verdict.passed
    assert "champion use none" in verdict.reason


def test_a_waiver_that_waives_nothing_is_said_to(paths: Paths, models: Models) -> None:
    use(str(models(55)), paths)
    verdict = _gated(paths, waivers={"champion_classes": "old"})["champion_classes"]
    assert verdict.passed
    assert "the waiver is not needed" in verdict.reason


def _with_signatures(model: Path, target: Path, change: Callable[[Contract], Any]) -> Path:
    """A copy whose contract promises other signatures, with a digest that is right."""
    shutil.copytree(model, target)
    contract = read_contract(target)
    write_contract(target, contract.model_copy(update={"signatures": change(contract)}))
    return target


def test_another_signature_is_refused_and_waived_with_a_reason(
    paths: Paths, models: Models, tmp_path: Path
) -> None:
    def add(contract: Contract) -> Any:
        return {**contract.signatures, "classify": contract.signatures[PREDICT_TENSOR]}

    use(str(_with_signatures(models(55), tmp_path / "other", add)), paths)
    verdicts = _gated(paths)
    assert not verdicts["champion_signature"].passed
    assert "classify is only in the second" in verdicts["champion_signature"].reason
    assert verdicts["champion_accuracy"].passed  # it can be asked all the same
    waived = _gated(paths, waivers={"champion_signature": "nobody calls classify"})
    assert waived["champion_signature"].passed


def test_a_champion_that_takes_no_bytes_cannot_be_compared(
    paths: Paths, models: Models, tmp_path: Path
) -> None:
    def drop(contract: Contract) -> Any:
        return {PREDICT_TENSOR: contract.signatures[PREDICT_TENSOR]}

    use(str(_with_signatures(models(55), tmp_path / "other", drop)), paths)
    verdicts = _gated(paths, waivers={"champion_signature": "new clients"})
    assert verdicts["champion_signature"].passed
    assert not verdicts["champion_accuracy"].passed
    assert "cannot be asked" in verdicts["champion_accuracy"].reason


def test_a_damaged_champion_is_an_error_and_no_verdict(paths: Paths, models: Models) -> None:
    use(str(models(55)), paths)
    graph = paths.champion / "model" / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:-100])
    with pytest.raises(GateError, match="champion cannot be read"):
        _gated(paths)


def test_a_champion_that_does_not_load_is_an_error(
    paths: Paths, models: Models, tmp_path: Path
) -> None:
    shutil.copytree(models(55), tmp_path / "bad")
    (tmp_path / "bad" / "saved_model.pb").write_bytes(b"no graph")
    write_contract(tmp_path / "bad", read_contract(tmp_path / "bad"))
    use(str(tmp_path / "bad"), paths)
    with pytest.raises(GateError, match="champion cannot be read"):
        _gated(paths)


def test_a_test_file_that_changed_since_scoring_is_an_error(paths: Paths, models: Models) -> None:
    use(str(models(55)), paths)
    paint(paths.data / "test" / "red" / "100.png", "blue", 5)
    write_manifest(paths.root)
    with pytest.raises(DataError, match="is not the file that was validated"):
        _gated(paths)


# `sortline gate`


def _sortline(*arguments: str) -> int:
    """Exit code of the command, as `sortline` gives it."""

    def work() -> None:
        result = CliRunner().invoke(app, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception

    return exit_code_of(work)


def test_check_ends_with_3_when_the_model_is_refused(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(paths.root)
    _gated(paths, min_accuracy=0.81)
    assert _sortline("gate", "--check") == 3
    assert "min_accuracy: accuracy 0.800 (95 %: 0.667 to 0.933)" in capsys.readouterr().err
    assert _sortline("gate") == 0  # to look is no refusal


def test_check_ends_with_0_when_the_model_is_blessed(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(paths.root)
    _gated(paths, min_accuracy=0.8)
    assert _sortline("gate", "--check") == 0


def test_check_ends_with_2_when_there_is_no_blessing(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(paths.root)
    assert _sortline("gate", "--check") == 2
    assert "dvc repro gate" in capsys.readouterr().err


def test_a_blessing_of_another_model_is_not_passed_on(
    paths: Paths, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(paths.root)
    _gated(paths, min_accuracy=0.8)
    shutil.rmtree(paths.saved_model)
    shutil.copytree(models(5), paths.saved_model)
    assert _sortline("gate", "--check") == 2


@pytest.mark.parametrize(
    "change",
    [{"blessed": True}, {"verdicts": []}, {"verdicts": [{"gate": "x"}]}, {"verdicts": None}],
)
def test_a_blessing_that_contradicts_itself_is_not_believed(
    paths: Paths, change: dict[str, Any]
) -> None:
    blessing = _refused_blessing(paths)
    write_json(paths.reports / "blessing.json", {**blessing, **change})
    with pytest.raises(Exception, match=r"dvc repro gate"):
        current_blessing(paths)


def _refused_blessing(paths: Paths) -> dict[str, Any]:
    _gated(paths, min_accuracy=0.81)
    text = (paths.reports / "blessing.json").read_text()
    return json.loads(text)  # type: ignore[no-any-return]


def _of_two_classes(ranked: dict[str, Any] | None) -> Candidate:
    return Candidate(Path(), "", 1.0, {"two_classes": ranked}, {}, pd.DataFrame())


def test_areas_under_curves_are_asked_of_two_classes_alone() -> None:
    judge = GATES["min_roc_auc"].judge
    ranked = {"positive": "ill", "roc_auc": 0.85, "pr_auc": 0.4}
    verdict = judge(0.9, _of_two_classes(ranked))
    assert (verdict.gate, verdict.passed, verdict.observed) == ("min_roc_auc", False, 0.85)
    assert "ROC curve of ill 0.850" in verdict.reason
    for ranked_otherwise in (None, {**ranked, "roc_auc": None}):
        with pytest.raises(GateError, match=r"gate\.min_roc_auc is 0\.9, and there is no such"):
            judge(0.9, _of_two_classes(ranked_otherwise))


def test_a_gate_of_a_project_is_one_file(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ParamsError, match=r"gate\.max_recall_gap is not a setting"):
        settings(gate={"max_recall_gap": 0.05})
    shutil.copytree(REPOSITORY / "examples" / "plugins", tmp_path / "plugins")
    monkeypatch.chdir(tmp_path)
    verdict = _gated(paths, max_recall_gap=0.05)["max_recall_gap"]
    assert not verdict.passed
    assert verdict.reason == "blue: recall 0.700"
    assert "max_recall_gap" not in _gated(paths, min_accuracy=0.5)
