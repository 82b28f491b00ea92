"""Where training starts: a warm start that is none would retrain a worse model, and say nothing."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from helpers.params import Params, parse_params
from helpers.workspaces import call, git, make_workspace, write_params
from safetensors.numpy import load_file

from pipeline_steps import warm_start
from sortline.core.files import digest_tree, write_json
from sortline.core.params import overlay, read_yaml
from sortline.core.paths import Paths
from sortline.evaluation.champion import use
from sortline.model.contract import (
    CONTRACT,
    TRAINING_IMAGES,
    Contract,
    Preprocessing,
    model_digest,
    signatures,
    write_contract,
    write_seen,
)
from sortline.model.saved_model import Exported, write_saved_model
from sortline.synthetic.generated import generate, subset_counts
from sortline.training.network import build_network
from sortline.training.weights import variables_by_name

LABELS = ("can", "jar")
SIZE_PX = 32
SMALL = {
    "backbone": {"alpha": 0.35, "image_size_px": SIZE_PX, "weights": None},
    "head": {"hidden_units": 8},
    "train": {"warm_start": True},
}


def settings(**sections: dict[str, object]) -> Params:
    values = overlay(read_yaml(Path(__file__).parents[2] / "params.yaml"), SMALL)
    return parse_params(overlay(values, sections))


def accepted() -> keras.Model:
    """A network whose head and last layers have moved since the (random) pretrained weights."""
    params = settings()
    network = build_network(params.backbone, params.head, len(LABELS), params.seed)
    moved = np.random.default_rng(1)
    for name, variable in variables_by_name(network).items():
        if name.startswith(("head/", "backbone/Conv_1/")):
            variable.assign(variable + moved.normal(0, 0.1, variable.shape))
    return network


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("champion") / "model"
    write_saved_model(Exported(accepted(), LABELS, 1.5, SIZE_PX, 10_000), folder)
    preprocessing = Preprocessing(
        image_size_px=SIZE_PX,
        resize="bilinear",
        scale=1 / 127.5,
        offset=-1.0,
        max_pixels=10_000,
        formats=("png",),
        exif_orientation="ignored",
    )
    contract = Contract(
        format_version=1,
        signatures=signatures(len(LABELS), SIZE_PX),
        labels=LABELS,
        preprocessing=preprocessing,
        temperature=1.5,
        train_class_counts={},
        versions={},
        min_serving_version="2.20",
        model_digest="",
    )
    write_seen(folder, ["can0", "jar0", "can1"])
    write_contract(folder, contract)
    return folder


def write_manifest(paths: Paths, labels: tuple[str, ...] = LABELS, images: int = 3) -> None:
    rows = [(label, "train", f"{label}{n}") for label in labels for n in range(images)]
    rows += [(label, "val", f"{label}-val") for label in labels]
    pd.DataFrame(rows, columns=["label", "split", "sha256"]).to_parquet(paths.manifest)


@pytest.fixture
def paths(champion: Path, tmp_path: Path) -> Paths:
    paths = Paths(tmp_path / "repository")
    paths.manifest.parent.mkdir(parents=True)
    write_manifest(paths)
    use(str(champion), paths)
    return paths


def start(paths: Paths, **sections: dict[str, object]) -> dict[str, Any]:
    """What the step writes, which has to be what it returns."""
    found = warm_start.run(settings(**sections), paths)
    written: dict[str, Any] = json.loads((paths.start / "facts.json").read_text())
    assert written == asdict(found)
    assert (paths.start / "weights.safetensors").exists() == bool(found.champion)
    return written


def test_training_starts_with_the_champions_very_weights(paths: Paths) -> None:
    found = start(paths, train={"warm_epochs": 3, "warm_learning_rate": 0.5})
    recorded = json.loads((paths.champion / "champion.json").read_text())
    expected = {"champion": recorded["digest"], "epochs": 3, "rate": 0.5, "reason": None}
    images = {"new_images": 3, "replay": 4.0}
    assert found == {**expected, **images, "weights_sha256": None}  # They are random here.
    assert paths.new_images.read_text().split("\n") == ["can2", "jar1", "jar2", ""]
    written = load_file(paths.start / "weights.safetensors")
    for name, variable in variables_by_name(accepted()).items():
        np.testing.assert_array_equal(written[name], keras.ops.convert_to_numpy(variable), name)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"head": {"hidden_units": 16}}, "another network"),
        ({"backbone": {"image_size_px": 64}}, "32 px"),
        ({"seed": 5}, "Conv1"),  # Other random weights stand for another pretrained backbone.
    ],
)
def test_a_champion_that_does_not_fit_is_not_started_from(
    paths: Paths, changes: dict[str, dict[str, object]], reason: str
) -> None:
    assert reason in start(paths, **changes)["reason"]


def test_another_set_of_classes_starts_anew(paths: Paths) -> None:
    write_manifest(paths, (*LABELS, "sheet"))
    assert "classes" in start(paths)["reason"]


def test_when_the_champion_has_seen_everything_an_epoch_has_all_images(paths: Paths) -> None:
    write_manifest(paths, images=1)
    found = start(paths)
    assert (found["new_images"], found["replay"]) == (0, None)
    assert not paths.new_images.exists()


def test_a_champion_that_does_not_say_what_it_saw_is_trained_on_everything(paths: Paths) -> None:
    (paths.champion / "model" / TRAINING_IMAGES).unlink()
    recorded = json.loads((paths.champion / "champion.json").read_text())
    digest = model_digest(paths.champion / "model")
    write_json(paths.champion / "champion.json", {**recorded, "digest": digest})
    contract = json.loads((paths.champion / "model" / CONTRACT).read_text())
    write_json(paths.champion / "model" / CONTRACT, {**contract, "model_digest": digest})
    found = start(paths)
    assert found["champion"] == digest
    assert (found["new_images"], found["replay"]) == (None, None)


def test_without_a_champion_training_starts_anew(paths: Paths) -> None:
    use("none", paths)
    assert "no champion" in start(paths)["reason"]


def test_unless_asked_another_champion_changes_nothing(paths: Paths) -> None:
    start(paths, train={"warm_start": False})
    before = digest_tree(paths.start)
    use("none", paths)
    start(paths, train={"warm_start": False})
    assert digest_tree(paths.start) == before


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_warm_retrain_costs_what_the_new_images_cost(tmp_path: Path) -> None:
    folder = make_workspace(tmp_path / "repository")
    call(folder, "dvc", "repro", "--quiet")
    call(folder, "sortline", "champion", "use", "artifacts/saved_model")
    more = {"train": 12, "val": 10, "test": 10}
    generate(tmp_path / "new", seed=2, counts=subset_counts(more), workers=1)
    call(folder, "sortline", "ingest", "--add", str(tmp_path / "new"))
    write_params(folder, {"train": {"warm_start": True, "warm_epochs": 1}})
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=more images")
    before = json.loads((folder / "artifacts/phase2/facts.json").read_text())
    call(folder, "dvc", "repro", "--quiet")
    after = json.loads((folder / "artifacts/phase2/facts.json").read_text())
    uses = json.loads((folder / "reports/fine_tune_phase2/features.json").read_text())
    assert (after["epochs_run"], after["last_epoch"]) == (1, 1)
    # One plain row and one view of each training image that is new; the old ones were found.
    new = after["rows"]["train"] - before["rows"]["train"]
    assert (uses["train"]["computed"], uses["train"]["found"]) == (2 * new, 240)
    assert after["epoch_images"] == 5 * new < after["rows"]["train"]
    # A head that starts anew is near the average of guesses after one epoch, and this one is not.
    assert after["metrics"]["train_loss"] < before["metrics"]["train_loss"] * 1.3
    call(folder, "sortline", "report")
    assert "the champion" in (folder / "report.html").read_text()
