"""The programs in examples/ do what they say, against a model server on loopback."""

import subprocess
import sys
from pathlib import Path

import grpc
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
