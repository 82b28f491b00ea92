"""Every recipe runs from images to a verdict, and is what its documents say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dvc.utils.hydra import apply_overrides
from helpers.tiny_runs import ROOT, check, draw, finish, settings, start_over, train

from pipeline_steps import augment
from sortline.core.params import overlay, read_yaml
from sortline.core.paths import Paths
from sortline.experiments.run import overrides_of
from sortline.model.contract import read_contract
from sortline.model.local_model import load_model
from sortline.orchestration.params import check as check_settings
from sortline.training.network import build_network

RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
REGIMES = (
    *("baseline_cnn", "reference", "one_phase", "mobilenet_scratch", "mobilenet_finetune_140"),
    *("mobilenet_finetune_from_140", "mobilenet_pretrain", "mobilenet_init", "resnet18_features"),
    *("resnet18_finetune", "resnet50_features", "resnet50_finetune", "tf_tutorial"),
    *("xception_small", "mnist_convnet", "efficientnet_scratch", "efficientnet_transfer"),
)
_BASE = read_yaml(ROOT / "params.yaml")


def _recipe(name: str) -> dict[str, Any]:
    return read_yaml(ROOT / "recipes" / f"{name}.yaml")


def test_every_regime_has_a_recipe() -> None:
    assert set(REGIMES) <= set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_in_its_first_line_what_it_is(name: str) -> None:
    first = (ROOT / "recipes" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")


# Of each kind of value that Hydra has to understand: null, a mapping, an empty list.
@pytest.mark.parametrize("name", ["baseline_cnn", "mobilenet_finetune_140", "mobilenet_pretrain"])
def test_an_experiment_gets_the_settings_of_its_recipe(name: str, tmp_path: Path) -> None:
    # `sortline run --recipe` hands them to DVC one by one, in Hydra's grammar.
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    apply_overrides(path, list(overrides_of(_BASE, _recipe(name))))
    laid = check_settings(overlay(_BASE, _recipe(name)))
    assert check_settings(read_yaml(path)).model_dump() == laid.model_dump()


# Of ten classes unless the network is for two: every parameter, and those that no phase freezes.
@pytest.mark.parametrize(
    ("name", "classes", "head"),
    [
        ("tf_tutorial", 2, 2 * 1281),
        ("mobilenet_pretrain", 10, 1281 * 1024 + 1025 * 10),
        ("resnet18_features", 10, 5_130),
        ("xception_small", 2, 1_025),
        ("mnist_convnet", 10, 16_010),  # 34,826 in all, as Keras's tutorial prints
        ("baseline_cnn", 10, 26 * 26 * 128 * 128 + 128 + 1_290),
    ],
)
def test_the_head_of_a_recipe_has_the_documented_parameters(
    name: str, classes: int, head: int
) -> None:
    params = check_settings(overlay(_BASE, _recipe(name)))
    network = build_network(params.backbone, params.head, classes, params.seed)
    assert network.get_layer("head").count_params() == head
    assert network.output_shape == (None, classes)


def _tiny(name: str) -> Any:
    """The recipe with one epoch a phase, a few images a batch, and the smallest images."""
    recipe = _recipe(name)
    once = {"epochs": 1, "warmup_epochs": 0, "batch_size": 4}
    small: dict[str, Any] = {
        "validate": {"expected_counts": None},
        "backbone": {"weights": None, "image_size_px": 32},
        "fine_tune_phase2": once,
    }
    architecture = recipe.get("backbone", {}).get("architecture", "mobilenet_v2")
    if architecture == "mobilenet_v2":
        small["backbone"]["alpha"] = 0.35
    if recipe.get("train_phase1", {}) is not None:
        small["train_phase1"] = once
    return settings(recipe, small, {"augment": {"preview_images": 1}})


def _exported(name: str) -> str:
    """What an exported model is made of: recipes that train the same network export it alike."""
    params = _tiny(name)
    return repr((params.backbone, params.head, params.export))


_FIRST_OF_ITS_KIND = {_exported(name): name for name in reversed(REGIMES)}


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Paths]:
    """Validated images: ten classes in colour, two classes in colour, ten classes in grey."""
    made = {
        "colour": draw(tmp_path_factory.mktemp("colour"), 10, grey=False),
        "binary": draw(tmp_path_factory.mktemp("binary"), 2, grey=False),
        "grey": draw(tmp_path_factory.mktemp("grey"), 10, grey=True),
    }
    for paths in made.values():
        check(settings(), paths)
    return made


# The other recipes differ from these in numbers alone, or are run by other tests.
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", REGIMES)
def test_a_recipe_runs_through_all_steps(name: str, datasets: dict[str, Paths]) -> None:
    params = _tiny(name)
    kind = "binary" if params.head.activation == "sigmoid" else "colour"
    paths = datasets["grey" if name == "mnist_convnet" else kind]
    start_over(paths)
    augment.run(params, paths)
    train(params, paths)
    facts = json.loads((paths.phase2 / "facts.json").read_text())
    phases = params.fine_tune_phase2.phases
    assert [each["epochs_run"] for each in facts["phases"]] == [1] * len(phases)
    if phases and phases[-1].from_layer == "all" and phases[-1].batchnorm == "train":
        assert not facts["batchnorm_frozen"]
    assert (paths.phase2 / "weights.safetensors").is_file()
    if _FIRST_OF_ITS_KIND[_exported(name)] != name:
        return  # What comes after training does not know how it went.
    finish(params, paths)
    metrics = json.loads((paths.reports / "evaluation/metrics.json").read_text())
    assert metrics["images"] == 3 * len(facts["labels"])
    assert (metrics["two_classes"] is not None) == (kind == "binary")
    assert "verdicts" in json.loads((paths.reports / "blessing.json").read_text())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_binary_model_is_served_with_its_threshold(datasets: dict[str, Paths]) -> None:
    paths = datasets["binary"]
    start_over(paths)
    head = {"activation": "sigmoid", "hidden_units": 0}
    changes = {"backbone": {"alpha": 0.35, "image_size_px": 32}, "head": head}
    once = {"train_phase1": {"epochs": 1}, "fine_tune_phase2": {"phases": []}}
    params = settings(changes, once, {"export": {"threshold": 0.9}, "gate": {"min_roc_auc": 0.0}})
    augment.run(params, paths)
    train(params, paths)
    finish(params, paths)
    assert read_contract(paths.saved_model).threshold == 0.9
    files = sorted((paths.root / "data/test").glob("*/*"))
    answer = load_model(paths.saved_model).predict_bytes([each.read_bytes() for each in files])
    assert answer.probabilities.shape == (len(files), 2)
    np.testing.assert_allclose(answer.probabilities.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(answer.class_id, answer.probabilities[:, 1] >= 0.9)
    verdicts = json.loads((paths.reports / "blessing.json").read_text())["verdicts"]
    assert "min_roc_auc" in [each["gate"] for each in verdicts]
