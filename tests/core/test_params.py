"""A wrong setting stops before any work, and says which, what it is, and what would be right."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sortline.core.params
from pipeline_steps import evaluate, export, fine_tune_phase2, gate, train_phase1, warm_start
from sortline.core.errors import ParamsError
from sortline.core.params import overlay, read_yaml
from sortline.orchestration.params import Params, check, load
from sortline.training.phase_settings import Last

_NO_PHASES: dict[str, Any] = {"fine_tune_phase2": {"phases": []}}
_SPARSE: dict[str, Any] = {"objective": {"loss": "sparse"}}
_SMOOTH: dict[str, Any] = {"label_smoothing": 0.1}
ROOT = Path(__file__).parents[2]


def _with(changes: dict[str, Any]) -> dict[str, Any]:
    return overlay(read_yaml(ROOT / "params.yaml"), changes)


def test_the_defaults_are_the_reference_recipe() -> None:
    params = load(ROOT)
    assert (params.backbone.alpha, params.backbone.image_size_px) == (1.0, 224)
    assert (params.head.pooling, params.head.hidden_units, params.head.dropout) == (
        "average",
        256,
        0.3,
    )
    first, second = params.train_phase1, params.fine_tune_phase2
    assert first is not None
    assert [each.from_layer for each in second.phases] == [100]
    assert (first.epochs, first.batch_size, first.learning_rate) == (20, 32, 1e-4)
    assert (second.epochs, second.from_layer, second.learning_rate) == (15, 100, 1e-5)
    for phase in (first, second):
        assert phase.optimizer == "adam"
        assert phase.early_stopping_patience == 5
        assert (phase.plateau_patience, phase.plateau_factor) == (3, 0.5)
    assert params.augment.views == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"head": {"droput": 0.1}}, "head.droput is not a setting; did you mean 'dropout'"),
        ({"validat": {}}, "validat is not a setting; did you mean 'validate'"),
        ({"validate": {"severity": {"cuonts": "error"}}}, "did you mean 'counts'"),
        ({"head": {"dropout": 1.5}}, "head.dropout is 1.5; it should be less than 1"),
        ({"head": {"hidden_units": "many"}}, "head.hidden_units is 'many'; it should be a valid"),
        ({"augment": {"balance": 1}}, "augment.balance is 1; it should be a valid boolean"),
        (
            {"backbone": {"architecture": "vgg"}},
            "should be one of baseline_cnn, efficientnet_b0",
        ),
        ({"train_phase1": {"weight_decay": 0.1}}, "weight_decay is ignored by adam"),
        ({"train_phase1": {"warmup_epochs": 1}}, "warmup_epochs is ignored"),
        ({"fine_tune_phase2": {"schedule": "cosine"}}, "plateau_patience fights"),
        ({"fine_tune_phase2": {"ema_momentum": 0.9}}, "early stopping would restore"),
        ({"seed": -1}, "seed is -1"),
        ({"fine_tune_phase2": {"phases": [{"learnin_rate": 1.0}]}}, "did you mean 'learning_rate'"),
        ({"fine_tune_phase2": {"phases": [{"epochs": 0}]}}, "phases.0.epochs is 0"),
        ({"fine_tune_phase2": {"phases": []}, "train_phase1": None}, "nothing would train"),
        ({"fine_tune_phase2": {"phases": []}, "train": {"warm_start": True}}, "warm_start runs"),
        ({"objective": {"loss": "sparse"}, "train_phase1": {"mixup_alpha": 0.2}}, "no place for"),
        ({"export": {"threshold": 0.9}}, "threshold is of head.activation sigmoid"),
        ({"backbone": {"architecture": "resnet18", "alpha": 0.5}}, "alpha is ignored by resnet18"),
        ({"gate": {"waivers": {"min_accuracy": "x"}}}, "gate.waivers.min_accuracy"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ParamsError) as error:
        check(_with(changes))
    assert said in str(error.value)


def test_a_phase_has_what_its_entry_says_and_else_what_the_section_says() -> None:
    entries = [{}, {"from_layer": {"last": 20}, "plateau_patience": None, "schedule": "cosine"}]
    section = {"epochs": 4, "phases": entries}
    first, second = check(_with({"fine_tune_phase2": section})).fine_tune_phase2.phases
    assert (first.epochs, first.from_layer, first.schedule) == (4, 100, "constant")
    assert (second.epochs, second.from_layer, second.schedule) == (4, Last(last=20), "cosine")


def test_a_fault_of_the_section_is_said_once() -> None:
    with pytest.raises(ParamsError) as error:
        check(_with({"fine_tune_phase2": {"learning_rate": -1.0}}))
    assert str(error.value).count("learning_rate") == 1


def test_a_missing_setting_is_named() -> None:
    values = _with({})
    del values["head"]["dropout"]
    with pytest.raises(ParamsError, match=r"head\.dropout is missing"):
        check(values)


def test_small_numbers_are_numbers_however_they_are_written(tmp_path: Path) -> None:
    # DVC writes 1e-05 when an experiment changes a rate; a YAML 1.1 reader takes that for text.
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text()
    path.write_text(text.replace("learning_rate: 0.00001", "learning_rate: 1e-05"))
    assert load(tmp_path).fine_tune_phase2.learning_rate == 1e-5


def test_a_step_checks_its_own_sections_and_no_others() -> None:
    values = _with({"gate": {"min_acuracy": 0.9}})
    del values["promote"]
    sections = sortline.core.params.parse_params(evaluate.Params, values)
    assert sections.evaluate.latency_calls == 50
    with pytest.raises(ParamsError, match="did you mean 'min_accuracy'"):
        sortline.core.params.parse_params(gate.Params, values)


@pytest.mark.parametrize(
    ("step", "changes", "refused"),
    [
        (warm_start, {"train": {"warm_start": True}, **_NO_PHASES}, "warm_start runs"),
        (train_phase1, {"train_phase1": None, **_NO_PHASES}, "nothing would train"),
        (train_phase1, {**_SPARSE, "train_phase1": {"mixup_alpha": 0.2}}, "no place for"),
        (fine_tune_phase2, {**_SPARSE, "fine_tune_phase2": _SMOOTH}, "no place for"),
        (export, {"export": {"threshold": 0.9}}, "threshold is of head.activation sigmoid"),
    ],
)
def test_a_step_refuses_settings_that_it_would_ignore(
    step: Any, changes: dict[str, Any], refused: str
) -> None:
    with pytest.raises(ParamsError, match=refused):
        sortline.core.params.parse_params(step.Params, _with(changes))


def test_a_check_of_the_whole_file_imports_no_network_and_no_tables() -> None:
    program = """
import sys
from sortline.orchestration.params import main
main()
print([name for name in ("tensorflow", "keras", "pandas", "numpy") if name in sys.modules])
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("content", [b"a: [", b"- 1\n", b"\xff\xfe"])
def test_a_file_that_holds_no_settings(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(ParamsError):
        load(tmp_path)
    with pytest.raises(ParamsError, match="missing"):
        load(tmp_path / "elsewhere")


@pytest.mark.parametrize("recipe", sorted(p.stem for p in (ROOT / "recipes").glob("*.yaml")))
def test_every_recipe_fits_the_settings(recipe: str) -> None:
    assert isinstance(check(_with(read_yaml(ROOT / "recipes" / f"{recipe}.yaml"))), Params)
