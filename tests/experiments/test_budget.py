"""A comparison is fair only if every recipe gets the same limits."""

from pathlib import Path

import pytest

from sortline.core.params import overlay, read_yaml
from sortline.experiments.compare import Budget
from sortline.orchestration.params import check

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("recipe", sorted(file.stem for file in (ROOT / "recipes").iterdir()))
def test_every_recipe_can_be_cut_short(recipe: str) -> None:
    base, own = read_yaml(ROOT / "params.yaml"), read_yaml(ROOT / f"recipes/{recipe}.yaml")
    laid = Budget(1, epochs=1, image_size_px=96, alpha=0.35).laid_over(own, overlay(base, own))
    params = check(overlay(base, laid))
    phases = [each for each in (params.train_phase1, *params.fine_tune_phase2.phases) if each]
    assert {each.epochs for each in phases} == {1}
    assert params.backbone.image_size_px == 96
    assert params.backbone.alpha == (
        0.35 if params.backbone.architecture == "mobilenet_v2" else 1.0
    ), "other networks have one width"
    assert params.validate_.expected_counts is None


def test_what_is_shorter_already_stays_and_lists_of_phases_are_cut_too() -> None:
    settings = {
        "one": {"epochs": 2, "warmup_epochs": 1},
        "phases": [{"epochs": 9, "warmup_epochs": 4, "rate": 0.1}, {"epochs": 1}],
    }
    laid = Budget(1, epochs=3).laid_over({}, settings)
    assert "one" not in laid
    cut = {"epochs": 3, "warmup_epochs": 2, "rate": 0.1}
    assert laid["phases"] == [cut, {"epochs": 1}]


def test_without_limits_a_recipe_keeps_its_own() -> None:
    own = {"train_phase1": {"epochs": 7}}
    laid = Budget(3).laid_over(own, own)
    assert laid["train_phase1"] == {"epochs": 7}
    assert Budget(3).described() == (
        "3 seeds, the recipes' own epochs, the recipes' own resolution"
    )


def test_the_budget_is_said_as_it_was_given() -> None:
    said = Budget(1, epochs=1, image_size_px=96).described()
    assert said == "one seed, at most 1 epoch a phase, 96 x 96 px"
    assert Budget(1, alpha=0.35).described().endswith("resolution, MobileNetV2 of width 0.35")
