"""The programs in examples/ do what they say, against a model server on loopback."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from helpers.scripted_server import Script, label_of, picture, serving

REPOSITORY = Path(__file__).parents[2]


def run(example: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, f"examples/{example}", *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_client_names_every_picture_and_says_why_a_file_is_none(tmp_path: Path) -> None:
    photo, text = tmp_path / "photo.png", tmp_path / "text.png"
    photo.write_bytes(picture())
    text.write_text("no picture")

    with serving(Script()) as target:
        done = run("client.py", target, photo, text)

    assert (done.returncode, done.stderr) == (1, "")
    named, refused = done.stdout.splitlines()
    assert named.startswith(f"{photo}: {label_of(photo.read_bytes())} ")
    assert refused.startswith(f"{text}: ")


def test_the_client_says_in_words_that_a_server_refuses(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(picture())

    with serving(Script(codes=[grpc.StatusCode.PERMISSION_DENIED])) as target:
        done = run("client.py", target, photo)

    assert (done.returncode, done.stdout) == (2, "")
    assert target in done.stderr
    assert "Traceback" not in done.stderr


def test_the_async_client_counts_the_labels_of_every_folder(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        (folder / "photo.png").write_bytes(picture(seed=number))
    (folders[1] / "text.png").write_text("no picture")

    with serving(Script()) as target:
        done = run("async_client.py", target, *folders)

    assert (done.returncode, done.stderr) == (0, "")
    labels = [label_of((folder / "photo.png").read_bytes()) for folder in folders]
    assert done.stdout.splitlines() == [
        f"{folders[0]}: 1 {labels[0]}",
        f"{folders[1]}: 1 {labels[1]}, 1 invalid",
    ]


@pytest.mark.slow
def test_a_run_is_sent_to_mlflow_from_an_environment_of_its_own(tmp_path: Path) -> None:
    uv = shutil.which("uv") or str(REPOSITORY / ".uv/bin/uv")
    if not Path(uv).is_file():
        pytest.skip("uv is not installed here")
    run, reports = tmp_path / "run", tmp_path / "run/reports"
    curve = reports / "train_phase1/live/plots/metrics/val/loss.tsv"
    curve.parent.mkdir(parents=True)
    curve.write_text("step\tloss\n1\t0.5\n2\t0.25\n")
    shutil.copy(REPOSITORY / "params.yaml", run)
    (reports / "evaluation").mkdir()
    figures = {"accuracy": 0.9, "model_digest": "ab12", "per_class": {}}
    (reports / "evaluation/metrics.json").write_text(json.dumps(figures))
    (reports / "blessing.json").write_text('{"blessed": true}')
    # Without a server: MLflow's small package writes files when it is told that it may.
    store = {"MLFLOW_TRACKING_URI": f"file:{tmp_path}/sent", "MLFLOW_ALLOW_FILE_STORE": "true"}
    done = subprocess.run(
        [uv, "run", "--quiet", "--no-project", "examples/mlflow_run.py", str(run)],
        cwd=REPOSITORY,
        env={**os.environ, **store},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (sent,) = (tmp_path / "sent").glob("*/*/metrics/train_phase1/val/loss")
    assert [line.split()[1:] for line in sent.read_text().splitlines()] == [
        ["0.5", "1"],
        ["0.25", "2"],
    ]
    record = sent.parents[3]
    assert (record / "metrics/test/accuracy").read_text().split()[1] == "0.9"
    assert (record / "params/train_phase1.epochs").is_file()
    assert (record / "tags/sortline.blessed").read_text() == "true"
