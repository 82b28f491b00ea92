"""`sortline predict` as a person or a script meets it."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.colour_models import LABELS, export, paint
from PIL import Image

from sortline.core.errors import ArtifactError, DataError
from sortline.dataset.checking import check_image
from sortline.images.decode import decode_bytes
from sortline.model.local_model import Served, load_model
from sortline.serving import local_predict
from sortline.serving.predict import find_files

SORTLINE = (sys.executable, "-m", "sortline", "predict")


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "saved_model"
    export(folder)
    return folder


@pytest.fixture(scope="module")
def model(model_folder: Path) -> Served:
    return load_model(model_folder)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two images in a folder of a folder, and what is to be skipped."""
    root = tmp_path / "pictures"
    paint(root / "a red one.png", "red", 80)
    paint(root / "deep" / "er" / "blå.PNG", "blue", 80)
    paint(root / ".hidden" / "x.png", "red", 80)
    paint(root / ".x.png", "red", 80)
    return root


def answers(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_json_object_a_line(
    pictures: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert local_predict.command([pictures], model_folder, as_json=True) == 0
    first, second = answers(capsys)
    assert list(first) == ["path", "label", "probability", "probabilities", "valid"]
    assert (first["path"], first["label"]) == (str(pictures / "a red one.png"), "red")
    assert (second["path"], second["label"]) == (str(pictures / "deep/er/blå.PNG"), "blue")
    shares = first["probabilities"]
    assert isinstance(shares, dict)
    assert tuple(shares) == LABELS
    assert sum(shares.values()) == pytest.approx(1.0, abs=1e-5)
    assert first["probability"] == max(shares.values()) > 0.9
    assert first["valid"] is True


def test_a_bad_file_is_named_with_its_reason_and_its_neighbours_are_classified(
    pictures: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paint(pictures / "c.png", "green", 80)
    whole = (pictures / "c.png").read_bytes()
    (pictures / "b cut.png").write_bytes(whole[:-40])
    (pictures / "b empty.jpg").write_bytes(b"")
    (pictures / "b notes.txt").write_text("hello")
    (pictures / "b gone.png").symlink_to("nowhere")
    Image.new("RGB", (1100, 1000)).save(pictures / "b large.png")
    assert local_predict.command([pictures], model_folder, as_json=True) == 5
    found = {Path(str(each["path"])).name: each for each in answers(capsys)}
    reasons = {name: str(each.get("reason", "")).split(" (")[0] for name, each in found.items()}
    assert reasons == {
        "a red one.png": "",
        "b cut.png": "truncated",
        "b empty.jpg": "empty",
        "b gone.png": "unreadable",
        "b large.png": "too many pixels",
        "b notes.txt": "not an image",
        "c.png": "",
        "blå.PNG": "",
    }
    assert found["c.png"]["label"] == "green"
    bad = found["b cut.png"]
    assert (bad["label"], bad["probability"], bad["valid"]) == ("", 0.0, False)
    assert bad["probabilities"] == dict.fromkeys(LABELS, 0.0)


def test_many_files_go_through_in_order_a_batch_at_a_time(
    tmp_path: Path, model: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [("red", "green", "blue")[index % 3] for index in range(70)]
    for index, label in enumerate(names):
        paint(tmp_path / f"{index:02d}.png", label, 60)
    read: list[Path] = []
    whole = local_predict.read_upright

    def noted(path: Path, max_pixels: int) -> bytes:
        read.append(path)
        return whole(path, max_pixels)

    monkeypatch.setattr(local_predict, "read_upright", noted)
    found = local_predict.classify(model, find_files([tmp_path]))
    first = next(found)
    assert len(read) == 32, "a whole folder in memory"
    assert [first.label, *(each.label for each in found)] == names


def sideways(orientation: int) -> bytes:
    pixels = np.zeros((24, 40, 3), np.uint8)
    pixels[:8, :, 0], pixels[:, :8, 1] = 200, 200
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_an_image_on_its_side_is_sent_as_ingest_would_store_it(
    tmp_path: Path, orientation: int
) -> None:
    path = tmp_path / "phone.jpg"
    path.write_bytes(sideways(orientation))
    stored = check_image(path, max_pixels=10_000, staging=tmp_path).local.read_bytes()
    sent = local_predict.read_upright(path, 10_000)
    assert sent == stored
    height, width, _ = decode_bytes(sent, max_pixels=10_000).shape
    assert (width > height) == (orientation != 6)


def test_a_missing_path_stops_before_any_work(pictures: Path, tmp_path: Path) -> None:
    # The model is missing too: it is not even looked for.
    with pytest.raises(DataError, match=r"no/such\.png"):
        local_predict.command(
            [pictures, tmp_path / "no/such.png"], tmp_path / "none", as_json=False
        )


def test_nothing_to_classify_and_no_model_are_said(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "hollow").mkdir()
    with pytest.raises(DataError, match="no file in"):
        local_predict.command([tmp_path / "hollow"], tmp_path, as_json=False)
    with pytest.raises(ArtifactError, match=r"no exported model in .*sortline run"):
        local_predict.command([pictures], tmp_path / "none", as_json=False)


def test_a_named_pipe_does_not_hang(pictures: Path, model_folder: Path) -> None:
    os.mkfifo(pictures / "pipe.png")
    assert local_predict.command([pictures], model_folder, as_json=True) == 0


def test_names_that_are_no_text_are_shown(
    tmp_path: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paint(tmp_path / "x.png", "red", 80)
    os.rename(tmp_path / "x.png", os.fsencode(tmp_path) + b"/new\nline\xff.png")  # noqa: PTH104
    assert local_predict.command([tmp_path], model_folder, as_json=True) == 0
    assert answers(capsys)[0]["path"] == f"{tmp_path}/new\nline\ufffd.png"
    assert local_predict.command([tmp_path], model_folder, as_json=False) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_the_command_prints_a_table_nothing_else_and_counts_the_invalid(
    pictures: Path, model_folder: Path
) -> None:
    (pictures / "z.jpg").write_bytes(b"\xff\xd8\xff\xe0" + b"\x5a" * 300)
    command = [*SORTLINE, str(pictures), "--saved-model", str(model_folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["red", "invalid", "blue"]
    assert lines[0].split()[1].endswith("%")


def test_a_reader_that_leaves_early_is_no_error(pictures: Path, model_folder: Path) -> None:
    for index in range(20):
        paint(pictures / f"{index}.png", "red", 80)
    command = [*SORTLINE, str(pictures), "--json", "--saved-model", str(model_folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
