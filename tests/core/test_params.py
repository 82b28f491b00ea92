"""A wrong setting stops before any work, and says which, what it is, and what would be right."""

from pathlib import Path
from typing import Any

import pytest

from sortline.core.errors import ParamsError
from sortline.core.params import Last, Params, load_params, overlay, parse_params, read_yaml

ROOT = Path(__file__).parents[2]


def _with(changes: dict[str, Any]) -> dict[str, Any]:
    return overlay(read_yaml(ROOT / "params.yaml"), changes)


def test_the_defaults_are_the_reference_recipe() -> None:
    params = load_params(ROOT / "params.yaml")
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
        ({"backbone": {"architecture": "vgg"}}, "should be 'mobilenet_v2'"),
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
        parse_params(_with(changes))
    assert said in str(error.value)


def test_a_phase_has_what_its_entry_says_and_else_what_the_section_says() -> None:
    entries = [{}, {"from_layer": {"last": 20}, "plateau_patience": None, "schedule": "cosine"}]
    section = {"epochs": 4, "phases": entries}
    first, second = parse_params(_with({"fine_tune_phase2": section})).fine_tune_phase2.phases
    assert (first.epochs, first.from_layer, first.schedule) == (4, 100, "constant")
    assert (second.epochs, second.from_layer, second.schedule) == (4, Last(last=20), "cosine")


def test_a_fault_of_the_section_is_said_once() -> None:
    with pytest.raises(ParamsError) as error:
        parse_params(_with({"fine_tune_phase2": {"learning_rate": -1.0}}))
    assert str(error.value).count("learning_rate") == 1


def test_a_missing_setting_is_named() -> None:
    values = _with({})
    del values["head"]["dropout"]
    with pytest.raises(ParamsError, match=r"head\.dropout is missing"):
        parse_params(values)


def test_small_numbers_are_numbers_however_they_are_written(tmp_path: Path) -> None:
    # DVC writes 1e-05 when an experiment changes a rate; a YAML 1.1 reader takes that for text.
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text()
    path.write_text(text.replace("learning_rate: 0.00001", "learning_rate: 1e-05"))
    assert load_params(path).fine_tune_phase2.learning_rate == 1e-5


@pytest.mark.parametrize("content", [b"a: [", b"- 1\n", b"\xff\xfe"])
def test_a_file_that_holds_no_settings(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(ParamsError):
        load_params(tmp_path / "params.yaml")
    with pytest.raises(ParamsError, match="missing"):
        load_params(tmp_path / "other.yaml")


@pytest.mark.parametrize("recipe", sorted(p.stem for p in (ROOT / "recipes").glob("*.yaml")))
def test_every_recipe_fits_the_settings(recipe: str) -> None:
    assert isinstance(parse_params(_with(read_yaml(ROOT / "recipes" / f"{recipe}.yaml"))), Params)
