"""The step export: what it writes is what it proved, and a failed proof leaves nothing new."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from helpers.colour_models import REPOSITORY
from helpers.params import Params, parse_params
from PIL import Image

from pipeline_steps import export
from sortline.core.errors import DataError, ExportError
from sortline.core.files import digest_tree, sha256_file, write_json
from sortline.core.params import overlay, read_yaml
from sortline.core.paths import Paths
from sortline.images.decode import decode_and_resize
from sortline.model.contract import read_contract, verify
from sortline.model.local_model import Predictions, Served, evenly_spaced, load_model
from sortline.model.saved_model import Exported, Parity, prove_parity
from sortline.training.calibration import calibrate, fit_temperature, negative_log_likelihood
from sortline.training.logits import read_logits, write_logits
from sortline.training.network import build_network, load_network
from sortline.training.weights import load_pretrained, save_weights

LABELS = ("can", "jar", "sheet")
IMAGES = {"train": (4, 2, 3), "val": (4, 3, 4)}
SMALL = {
    "backbone": {"alpha": 0.35, "image_size_px": 32, "weights": None},
    "head": {"hidden_units": 8},
    "features": {"batch_size": 5},
    "export": {"parity_images": 7},
}


def settings(**sections: dict[str, object]) -> Params:
    values = overlay(read_yaml(REPOSITORY / "params.yaml"), SMALL)
    return parse_params(overlay(values, sections))


def draw(root: Path) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = []
    for split, counts in IMAGES.items():
        for label, count in zip(LABELS, counts, strict=True):
            for index in range(count):
                suffix = ("jpg", "png", "webp")[index % 3]
                path = root / "data" / split / label / f"{index}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(generator.integers(0, 255, (50, 40, 3), np.uint8)).save(path)
                shown = path.relative_to(root).as_posix()
                rows.append((shown, split, label, sha256_file(path)))
    return pd.DataFrame(rows, columns=["path", "split", "label", "sha256"]).sort_values("path")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """What the step reads: a small network of random weights, whose logits are brought apart."""
    paths = Paths(tmp_path_factory.mktemp("repository"))
    paths.phase2.mkdir(parents=True)
    draw(paths.root).to_parquet(paths.manifest, index=False)
    params = settings()
    network = build_network(params.backbone, params.head, len(LABELS), seed=1)
    noise = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3)).astype("float32")
    kernel = network.get_layer("head").get_layer("logits").kernel
    spread = np.ptp(network(noise, training=False))
    kernel.assign(keras.ops.convert_to_numpy(kernel) * (8.0 / spread))
    save_weights(network, paths.phase2 / "weights.safetensors")
    write_json(paths.phase2 / "facts.json", {"labels": list(LABELS)})
    write_logits(paths.phase2, *_validation_logits(paths, network))
    return paths


def _validation_logits(paths: Paths, network: keras.Model) -> tuple[list[str], np.ndarray]:
    """In Keras alone."""
    images = _validation(paths)
    files = [tf.constant((paths.root / path).read_bytes()) for path in images["path"]]
    pixels = np.stack([decode_and_resize(file, 32).numpy() for file in files])
    return images["sha256"].tolist(), np.asarray(network(pixels, training=False))


def _validation(paths: Paths) -> pd.DataFrame:
    manifest = pd.read_parquet(paths.manifest)
    return manifest[manifest["split"] == "val"]


@pytest.fixture(scope="module")
def report(paths: Paths) -> export.Report:
    return export.run(settings(), paths)


@pytest.fixture(scope="module")
def validation(paths: Paths) -> pd.DataFrame:
    return _validation(paths)


@pytest.fixture(scope="module")
def logits(paths: Paths) -> np.ndarray:
    network, _ = load_network(paths.phase2, settings())
    return _validation_logits(paths, network)[1]


def test_the_temperature_is_the_validation_splits(
    report: export.Report, logits: np.ndarray, validation: pd.DataFrame
) -> None:
    ids = [LABELS.index(label) for label in validation["label"]]
    found = report.calibration
    assert np.ptp(logits) > 0.1, "a network that says the same of everything proves nothing"
    assert found.temperature == pytest.approx(fit_temperature(logits, ids), rel=1e-3)
    assert found.nll_before == pytest.approx(negative_log_likelihood(logits, ids), rel=1e-4)
    assert found.nll_after < found.nll_before


def test_the_written_model_answers_as_keras_does(
    paths: Paths, report: export.Report, logits: np.ndarray, validation: pd.DataFrame
) -> None:
    served = load_model(paths.saved_model)
    scaled = np.exp(logits.astype("float64") / report.calibration.temperature)
    wanted = scaled / scaled.sum(axis=1, keepdims=True)
    found = served.predict_bytes([(paths.root / each).read_bytes() for each in validation["path"]])
    np.testing.assert_allclose(found.probabilities, wanted, atol=1e-5)
    assert found.label.tolist() == [LABELS[index] for index in wanted.argmax(axis=1)]
    assert report.parity.images == 7
    assert 0.0 <= report.parity.max_difference_tensors <= 1e-5
    assert 0.0 <= report.parity.max_difference_bytes <= 1e-5


def test_the_contract_says_what_a_client_needs(paths: Paths, report: export.Report) -> None:
    contract = read_contract(paths.saved_model)
    assert contract.labels == LABELS
    assert contract.train_class_counts == dict(zip(LABELS, IMAGES["train"], strict=True))
    assert contract.preprocessing.image_size_px == 32
    assert contract.preprocessing.max_pixels == settings().images.max_pixels
    assert contract.temperature == report.calibration.temperature
    assert contract.min_serving_version == "2.20"
    assert contract.versions["tensorflow"] == tf.__version__
    assert verify(paths.saved_model) == contract.model_digest == report.model_digest


def test_the_report_holds_the_same(paths: Paths, report: export.Report) -> None:
    written = json.loads((paths.reports / "export.json").read_text(encoding="utf-8"))
    assert written["model_digest"] == report.model_digest
    assert written["calibration"]["temperature"] == report.calibration.temperature
    assert written["parity"]["max_difference_bytes"] == report.parity.max_difference_bytes
    files = [each for each in paths.saved_model.rglob("*") if each.is_file()]
    assert abs(written["size_bytes"] - sum(each.stat().st_size for each in files)) < 10


def test_a_temperature_in_params_is_taken() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 1.0]], np.float32)
    found = calibrate(logits, np.array([0, 0]), 2.5, None)
    assert (found.temperature, found.at_limit) == (2.5, False)
    assert found.nll_after == pytest.approx(negative_log_likelihood(logits, [0, 0], 2.5))
    assert calibrate(logits, np.array([0, 1]), "fit", None).at_limit


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def too_different(network: keras.Model, served: Served, *rest: Any) -> Parity:
    """Prove the export against a network that is not quite the one exported."""
    other = keras.models.clone_model(network)
    other.set_weights([each * 1.01 for each in network.get_weights()])
    return prove_parity(other, served, *rest)


def random_each_time(network: keras.Model, served: Served, *rest: Any) -> Parity:
    """As an augmentation that stayed in the graph would look: a last bit differs."""

    class Wavering(Served):
        def predict_bytes(self, images: Any) -> Predictions:
            found = super().predict_bytes(images)
            noise = np.random.default_rng().uniform(0, 1e-7, found.probabilities.shape)
            moved = (found.probabilities + noise).astype(np.float32)
            return Predictions(moved, found.class_id, found.label, found.valid)

    return prove_parity(network, Wavering(served.contract, served.loaded), *rest)


@pytest.fixture(scope="module")
def plain() -> Exported:
    """A network that is quick to export."""
    inputs = keras.Input((32, 32, 3))
    scaled = keras.layers.Rescaling(1 / 255)(inputs)
    pooled = keras.layers.GlobalAveragePooling2D()(scaled)
    network = keras.Model(inputs, keras.layers.Dense(len(LABELS))(pooled))
    return Exported(network, LABELS, 1.5, 32, settings().images.max_pixels)


@pytest.mark.parametrize(
    ("proof", "error", "message"),
    [
        (too_different, ExportError, "differ by up to"),
        (random_each_time, ExportError, "Two calls"),
        (interrupted, KeyboardInterrupt, None),
    ],
)
def test_a_failed_proof_or_an_interrupt_leaves_the_last_model(
    paths: Paths,
    report: export.Report,
    plain: Exported,
    proof: Callable[..., Any],
    error: type[BaseException],
    message: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = digest_tree(paths.saved_model)
    manifest = export.read_manifest(paths, LABELS)
    monkeypatch.setattr(export, "prove_parity", proof)
    with pytest.raises(error, match=message):
        export.write_export(plain, report.calibration, manifest, settings(), paths)
    assert digest_tree(paths.saved_model) == before
    assert sorted(each.name for each in (paths.root / "artifacts").iterdir()) == [
        "litert",
        "manifest.parquet",
        "phase2",
        "saved_model",
    ]


def test_without_files_for_devices_their_folder_is_there_all_the_same(
    paths: Paths, report: export.Report
) -> None:
    assert [each.name for each in paths.litert.iterdir()] == ["facts.json"]
    assert report.litert == {}


def test_files_for_devices_come_with_the_model_or_neither_does(
    paths: Paths, report: export.Report, plain: Exported, tmp_path: Path
) -> None:
    copy = Paths(tmp_path / "copy")
    shutil.copytree(paths.root, copy.root)
    for file in (copy.data / "test").rglob("*.*"):
        file.unlink()  # They are for evaluation alone: training images calibrate.
    manifest = export.read_manifest(copy, LABELS)
    asked = settings(export={"litert": ["float32", "int8"], "litert_images": 5})
    found = export.write_export(plain, report.calibration, manifest, asked, copy)
    names = {"facts.json", "float32.tflite", "int8.tflite"}
    assert {each.name for each in copy.litert.iterdir()} == names
    facts = json.loads((copy.litert / "facts.json").read_text())
    assert facts["model_digest"] == found.model_digest == verify(copy.saved_model)
    assert found.litert["float32"].max_difference <= 1e-4
    before = digest_tree(copy.root / "artifacts")
    for file in (copy.data / "train").rglob("*.*"):
        file.write_bytes(b"another")
    with pytest.raises(DataError, match="not the file that was validated"):
        export.write_export(plain, report.calibration, manifest, asked, copy)
    assert digest_tree(copy.root / "artifacts") == before


@pytest.mark.slow
def test_a_real_network_is_written_for_devices(paths: Paths, tmp_path: Path) -> None:
    copy = Paths(tmp_path / "copy")
    shutil.copytree(paths.root, copy.root)
    kinds = ["float32", "int8"]
    params = settings(backbone={"image_size_px": 96, "weights": "demo"}, export={"litert": kinds})
    network = build_network(params.backbone, params.head, len(LABELS), seed=1)
    load_pretrained(network.get_layer("backbone"), params.backbone, tmp_path)
    save_weights(network, copy.phase2 / "weights.safetensors")
    found = export.run(params, copy)
    assert list(found.litert) == kinds
    assert found.litert["float32"].agreement == 1.0
    assert found.litert["int8"].size_bytes < found.litert["float32"].size_bytes / 2
    assert found.litert["int8"].max_difference < 0.1
    written = json.loads((copy.reports / "export.json").read_text())["litert"]
    assert written["int8"]["agreement"] == found.litert["int8"].agreement


def test_logits_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    write_logits(tmp_path, ["a", "b"], np.array([[0.0, 1.0], [np.nan, 0.0]]))
    assert read_logits(tmp_path, ["a"]).tolist() == [[0.0, 1.0]]
    with pytest.raises(ExportError, match="not finite"):
        read_logits(tmp_path, ["b", "a"])


def test_other_data_than_was_trained_on_is_refused(paths: Paths, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="trained on can, jar"):
        export.read_manifest(paths, LABELS[:2])
    with pytest.raises(DataError, match="1 validation images are not those that training saw"):
        read_logits(paths.phase2, ["0" * 64])
    copy = Paths(tmp_path / "copy")
    shutil.copytree(paths.root, copy.root)
    for file in (copy.data / "val").rglob("*.*"):
        file.write_bytes(b"another")
    with pytest.raises(DataError, match="not the file that was validated"):
        export.run(settings(), copy)
    assert not copy.saved_model.exists() or verify(copy.saved_model)


def test_parity_is_asked_of_images_of_every_class(validation: pd.DataFrame) -> None:
    chosen = evenly_spaced(validation, 4)
    assert len(chosen) == 4
    assert set(chosen["label"]) == set(LABELS)
    assert len(evenly_spaced(validation, 4096)) == len(validation)
