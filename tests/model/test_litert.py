"""What a device gets: the SavedModel's answers, from files that say how they are to be called."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ai_edge_litert.interpreter import Interpreter
from helpers.colour_models import LABELS, SIZE_PX, export, exported, settings, workspace

from sortline.core.errors import ArtifactError, DataError, ExportError
from sortline.core.files import sha256_file
from sortline.core.paths import Paths
from sortline.evaluation.litert import litert_latency, litert_metrics, loss
from sortline.model.litert import (
    Facts,
    Interpreted,
    Sources,
    chosen,
    convert,
    read_litert,
    read_pixels,
    write_litert,
)
from sortline.model.local_model import Served, load_model
from sortline.model.saved_model import Exported
from sortline.model.settings import LiteRt

Written = dict[str, Facts]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Thirty test pictures, of which the model gets 24 right."""
    return workspace(tmp_path_factory.mktemp("colours"), bias=35)


@pytest.fixture(scope="module")
def served(paths: Paths) -> Served:
    return load_model(paths.saved_model)


@pytest.fixture(scope="module")
def images(paths: Paths) -> Sources:
    rows = pd.read_parquet(paths.manifest)
    files = rows[rows["split"] == "test"]
    return Sources(paths.root, files, files)


@pytest.fixture(scope="module")
def candidate() -> Exported:
    return exported(bias=35)


@pytest.fixture(scope="module")
def written(candidate: Exported, paths: Paths, served: Served, images: Sources) -> Written:
    return write_litert(candidate, served, ["float32", "int8"], images, paths.litert)


@pytest.fixture(scope="module")
def pixels(images: Sources) -> np.ndarray:
    return np.stack(list(read_pixels(images.parity, images.root, SIZE_PX)))


def _answers(paths: Paths, kind: str, pixels: np.ndarray) -> np.ndarray:
    file = Interpreted((paths.litert / f"{kind}.tflite").read_bytes(), 1)
    return np.stack([file.probabilities(each) for each in pixels])


def test_float32_gives_the_saved_models_probabilities(
    paths: Paths, served: Served, written: Written, pixels: np.ndarray
) -> None:
    wanted = served.predict_tensor(pixels).probabilities
    found = _answers(paths, "float32", pixels)
    assert np.ptp(wanted) > 0.5, "a model that says the same of everything proves nothing"
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert written["float32"].max_difference <= 1e-4
    assert written["float32"].agreement == 1.0


def test_int8_takes_pixels_as_they_are_and_gives_256ths(
    paths: Paths, served: Served, written: Written, pixels: np.ndarray
) -> None:
    facts = written["int8"]
    assert (facts.input.dtype, facts.input.scale, facts.input.zero_point) == ("uint8", 1.0, 0)
    assert facts.input.shape == (1, SIZE_PX, SIZE_PX, 3)
    assert (facts.output.dtype, facts.output.scale) == ("uint8", 1 / 256)
    wanted = served.predict_tensor(pixels).probabilities
    np.testing.assert_allclose(_answers(paths, "int8", pixels), wanted, atol=0.05)


def test_int8_computes_in_integers_alone(paths: Paths, written: Written) -> None:
    interpreter = Interpreter(str(paths.litert / written["int8"].file))
    interpreter.allocate_tensors()
    kinds = {np.dtype(each["dtype"]).name for each in interpreter.get_tensor_details()}
    assert kinds <= {"int8", "uint8", "int32"}


@pytest.mark.usefixtures("written")
def test_the_temperature_is_inside(
    candidate: Exported, paths: Paths, images: Sources, pixels: np.ndarray
) -> None:
    warm = convert(replace(candidate, temperature=3.0), "float32", images)
    sure = _answers(paths, "float32", pixels[:1])[0]
    unsure = Interpreted(warm, 1).probabilities(pixels[0])
    np.testing.assert_allclose(unsure, sure ** (1 / 3) / (sure ** (1 / 3)).sum(), atol=1e-5)
    assert unsure.max() < sure.max()


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_the_same_network_gives_the_same_bytes(
    kind: LiteRt, candidate: Exported, paths: Paths, images: Sources, written: Written
) -> None:
    again = convert(candidate, kind, images)
    assert again == (paths.litert / written[kind].file).read_bytes()


def test_facts_name_the_model_its_labels_and_the_files(
    paths: Paths, served: Served, written: Written
) -> None:
    facts = json.loads((paths.litert / "facts.json").read_text())
    assert facts["model_digest"] == served.contract.model_digest
    assert facts["labels"] == list(LABELS)
    assert facts["resize"] == served.contract.preprocessing.resize
    for kind, each in written.items():
        file = paths.litert / f"{kind}.tflite"
        assert facts["files"][kind] == json.loads(json.dumps(asdict(each)))
        assert (each.sha256, each.size_bytes) == (sha256_file(file), file.stat().st_size)


def test_a_float32_file_of_another_network_is_refused(
    served: Served, images: Sources, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=r"float32\.tflite and the SavedModel differ"):
        write_litert(exported(bias=80), served, ["float32"], images, tmp_path)


def test_images_that_changed_do_not_calibrate(
    candidate: Exported, served: Served, images: Sources, tmp_path: Path
) -> None:
    changed = Sources(images.root, images.calibration.assign(sha256="0" * 64), images.parity)
    with pytest.raises(DataError, match="not the file that was validated"):
        write_litert(candidate, served, ["int8"], changed, tmp_path)


def test_without_files_there_are_facts_and_nothing_to_score(
    candidate: Exported, paths: Paths, served: Served, images: Sources, tmp_path: Path
) -> None:
    assert write_litert(candidate, served, [], images, tmp_path) == {}
    assert [each.name for each in tmp_path.iterdir()] == ["facts.json"]
    rows = images.parity.assign(valid=True, correct=True)
    assert read_litert(tmp_path, served.contract.model_digest) == {}
    assert litert_metrics(served, {}, rows, paths.root, settings()) == {}
    assert litert_latency(served, {}, rows, paths.root, 5) == {}


def test_files_of_another_model_or_damaged_ones_are_not_scored(
    paths: Paths, written: Written, served: Served, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match="is of the model"):
        read_litert(paths.litert, export(tmp_path / "other", bias=1))
    digest = served.contract.model_digest
    for file in paths.litert.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / written["int8"].file).write_bytes(b"TFL3")
    with pytest.raises(DataError, match=r"int8\.tflite is not the file that was exported"):
        read_litert(tmp_path, digest)
    (tmp_path / "facts.json").write_text("{}")
    with pytest.raises(ArtifactError, match="lacks 'files'"):
        read_litert(tmp_path, digest)


@pytest.mark.usefixtures("written")
def test_a_class_is_chosen_as_the_graph_chooses_it() -> None:
    probabilities = np.array([[0.6, 0.4], [0.8, 0.2], [0.1, 0.9]], np.float32)
    assert chosen(probabilities, None).tolist() == [0, 0, 1]
    assert chosen(probabilities, 0.3).tolist() == [1, 0, 1]


def test_scores_are_of_the_same_images_and_an_unreadable_one_is_wrong(
    paths: Paths, served: Served, images: Sources
) -> None:
    answers = served.predict_bytes([(paths.root / p).read_bytes() for p in images.parity["path"]])
    right = answers.label == images.parity["label"].to_numpy()
    rows = images.parity.assign(valid=True, correct=right)
    rows.loc[rows.index[right][0], ["valid", "correct"]] = False
    flat = read_litert(paths.litert, served.contract.model_digest)
    files = {kind: Interpreted(data) for kind, data in flat.items()}
    metrics = litert_metrics(served, files, rows, paths.root, settings())
    latency = litert_latency(served, files, rows, paths.root, 5)
    for kind in ("float32", "int8"):
        scored, timed = metrics[kind], latency[kind]
        assert scored["accuracy"] == pytest.approx(23 / 30)
        assert (scored["accuracy_lost"], scored["interval"]) == (0.0, (0.0, 0.0))
        assert scored["size_bytes"] == (paths.litert / f"{kind}.tflite").stat().st_size
        assert 0 < timed["p50_ms"] <= timed["p95_ms"]
        ratio = timed["saved_model"]["p50_ms"] / timed["p50_ms"]
        assert timed["speedup"] == pytest.approx(ratio, rel=0.05)


def test_a_loss_is_worked_out_on_pairs() -> None:
    ours = np.array([True] * 90 + [False] * 10)
    theirs = np.array([False] * 2 + [True] * 93 + [False] * 5)
    found = loss(ours, theirs, 2000, 0)
    assert found["accuracy_lost"] == pytest.approx(0.03)
    assert (found["only_right_here"], found["only_right_there"]) == (2, 5)
    low, high = found["interval"]
    assert -0.03 <= low < 0.03 < high <= 0.09
