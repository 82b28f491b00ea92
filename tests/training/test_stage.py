"""Phases as a list: each with its own cut and rate, and a kill in any of them changes nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.tiny_runs import draw, list_images, phases, settings, start_over, train
from safetensors.numpy import load_file

from pipeline_steps import fine_tune_phase2, train_phase1, warm_start
from sortline.core.errors import DataError, ParamsError
from sortline.core.paths import Paths
from sortline.training import checkpoint, extraction, stage
from sortline.training.logits import read_logits
from sortline.training.network import load_network
from sortline.training.phase import pixels_of, read_dataset, warn_of_grey_images

_NETWORK: dict[str, Any] = {
    "seed": 3,
    "backbone": {"architecture": "mnist_convnet", "image_size_px": 12},
    "head": {"pooling": "flatten", "hidden_units": 0, "dropout": 0.3, "batchnorm": True},
    "features": {"engine": "keras"},
}
_FIRST = {"train_phase1": {"epochs": 2, "learning_rate": 0.01}}
_LIST = {
    "train_phase1": None,
    "fine_tune_phase2": {
        "learning_rate": 0.01,
        "phases": phases({"from_layer": "all"}, {"from_layer": {"last": 2}, "epochs": 2}),
    },
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = draw(tmp_path_factory.mktemp("images"), 3, grey=True, side_px=12)
    list_images(paths)
    return paths


def _facts(folder: Path) -> Any:
    return json.loads((folder / "facts.json").read_text())


def _weights(paths: Paths) -> dict[str, np.ndarray]:
    return dict(load_file(paths.phase2 / "weights.safetensors"))


def test_without_a_second_phase_the_first_is_the_result(images: Paths) -> None:
    start_over(images)
    train(settings(_NETWORK, _FIRST, {"fine_tune_phase2": {"phases": []}}), images)
    one, two = _facts(images.phase1), _facts(images.phase2)
    assert two["metrics"] == one["metrics"]
    assert (two["epochs_run"], two["last_epoch"], two["phases"]) == (0, 2, [])
    first = load_file(images.phase1 / "weights.safetensors")
    for name, value in _weights(images).items():
        np.testing.assert_array_equal(value, first[name], name)
    listed = [each.name for each in (images.root / "data/val").glob("*/*")]
    assert len(read_logits(images.phase2, _sha256_of(images, "val"))) == len(listed)


def _sha256_of(paths: Paths, split: str) -> list[str]:
    manifest = pd.read_parquet(paths.manifest)
    return list(manifest["sha256"][manifest["split"] == split])


class _KilledError(Exception):
    pass


def test_no_feature_is_computed_ahead_that_no_phase_will_ask_for(images: Paths) -> None:
    start_over(images)
    head_too = {**_FIRST, "fine_tune_phase2": _LIST["fine_tune_phase2"]}
    assert extraction.fill_cache(settings(_NETWORK, _LIST), images, 0, 1) == 0
    assert extraction.fill_cache(settings(_NETWORK, head_too), images, 0, 1) > 0


def test_a_kill_in_any_phase_of_the_list_changes_nothing(
    images: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = settings(_NETWORK, _LIST)
    start_over(images)
    train(params, images)
    expected, facts = _weights(images), _facts(images.phase2)
    assert [each["from_layer"] for each in facts["phases"]] == ["input", "conv2"]
    assert (facts["epochs_run"], facts["last_epoch"]) == (3, 3)
    assert not list((images.state / "resume").iterdir())

    start_over(images)
    warm_start.run(params, images)
    train_phase1.run(params, images)
    whole, left, trained = checkpoint.save, [1, 2], []

    def save_and_die(*arguments: Any) -> None:
        whole(*arguments)
        trained.append(arguments[3][-1]["epoch"])
        if trained[-1] in left:
            left.remove(trained[-1])
            raise _KilledError

    monkeypatch.setattr(checkpoint, "save", save_and_die)
    while left:
        with pytest.raises(_KilledError):
            fine_tune_phase2.run(params, images)
    fine_tune_phase2.run(params, images)
    assert trained == [1, 2, 3]  # None of them twice.
    for name, value in _weights(images).items():
        np.testing.assert_array_equal(value, expected[name], name)
    assert _facts(images.phase2)["metrics"] == facts["metrics"]


def test_a_checkpoint_of_another_loop_is_not_gone_on_from(
    images: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = settings(_NETWORK, _LIST)
    start_over(images)
    warm_start.run(params, images)
    train_phase1.run(params, images)
    whole, trained = checkpoint.save, []

    def save_and_die(*arguments: Any) -> None:
        whole(*arguments)
        trained.append(arguments[3][-1]["epoch"])
        if len(trained) == 1:
            raise _KilledError

    monkeypatch.setattr(checkpoint, "save", save_and_die)
    with pytest.raises(_KilledError):
        fine_tune_phase2.run(params, images)
    monkeypatch.setattr(stage, "_TRAINER", 2)
    fine_tune_phase2.run(params, images)
    assert trained == [1, 1, 2, 3]


def test_a_later_phase_learns_from_what_an_earlier_one_has_moved(images: Paths) -> None:
    # Features of the second phase's frozen part are not those of the weights it began with.
    start_over(images)
    moved = phases({"from_layer": 130, "learning_rate": 0.01}, {"from_layer": "block_16_project"})
    changes = {
        "backbone": {"architecture": "mobilenet_v2", "alpha": 0.35, "image_size_px": 32},
        "train_phase1": None,
        "fine_tune_phase2": {"phases": moved},
    }
    params = settings(_NETWORK, changes)
    train(params, images)
    facts = _facts(images.phase2)
    assert [each["cut_layer"] for each in facts["phases"]] == [
        "block_13_project_BN",
        "block_16_depthwise_relu",
    ]
    network, _ = load_network(images.phase2, params)
    val = pixels_of(read_dataset(images), params)[1]
    logits = np.concatenate([np.asarray(network(x, training=False)) for x, _ in val.plain(100)])
    kept = read_logits(images.phase2, _sha256_of(images, "val"))
    np.testing.assert_allclose(kept, logits, atol=0.02 * np.abs(logits).max())


@pytest.mark.parametrize(
    "objective",
    [
        {"loss": "one_hot", "balance": "class_weights"},
        {"loss": "sparse", "balance": "sampling"},
    ],
)
def test_every_objective_trains(images: Paths, objective: dict[str, str]) -> None:
    start_over(images)
    changes = {"fine_tune_phase2": {"phases": []}, "objective": objective}
    train(settings(_NETWORK, _FIRST, changes), images)
    assert np.isfinite(_facts(images.phase2)["metrics"]["train_loss"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"head": {"activation": "sigmoid"}}, "3 classes; head.activation sigmoid"),
        ({"fine_tune_phase2": {"from_layer": "block_99"}}, "'block_99'; the backbone has layers"),
    ],
)
def test_what_cannot_train_is_refused_before_anything_does(
    images: Paths, changes: dict[str, Any], said: str
) -> None:
    start_over(images)
    with pytest.raises((DataError, ParamsError), match=said.replace(".", r"\.")):
        train(settings(_NETWORK, changes), images)
    assert not images.phase1.exists()


def test_grey_images_under_a_colour_backbone_are_told_of(
    images: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = read_dataset(images)
    warn_of_grey_images(dataset, settings())
    assert "Every image is grey, and mobilenet_v2" in capsys.readouterr().out
    warn_of_grey_images(dataset, settings(_NETWORK))
    assert capsys.readouterr().out == ""
