"""`sortline predict --target`: the lines of `--saved-model`, from a server."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from helpers.certificates import Authority
from helpers.colour_models import LABELS as COLOURS
from helpers.colour_models import export, paint
from helpers.scripted_server import Script, label_of, picture, serving, shares_of
from PIL import Image

from sortline.client import Client
from sortline.client.async_client import AsyncClient
from sortline.client.server_options import Server
from sortline.core.errors import ArtifactError, DataError, ParamsError, ServingError
from sortline.serving import local_predict, predict
from sortline.serving.local_server import RunningServer, running_server
from sortline.serving.predict import open_client
from sortline.serving.server_program import Models

SORTLINE = (sys.executable, "-m", "sortline", "predict")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(picture("JPEG"))
    return path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*SORTLINE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# --- a scripted server ---


def test_probabilities_are_a_list_when_nobody_names_the_labels(
    target: str, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict.ask_server([photo], Server(target), as_json=True) == 0
    (line,) = capsys.readouterr().out.splitlines()
    shares = [round(share, 6) for share in shares_of(photo.read_bytes())]
    assert json.loads(line) == {
        "path": str(photo),
        "label": label_of(photo.read_bytes()),
        "probability": max(shares),
        "probabilities": shares,
        "valid": True,
    }


def test_files_go_in_order_and_a_bad_one_is_named(
    target: str, script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for at in range(70):
        (folder / f"{at:02d}.png").write_bytes(picture(seed=at))
    (folder / "40.png").write_text("hello")
    assert predict.ask_server([folder], Server(target), as_json=False) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 70
    reason = "not an image (begins with b'hello'; wanted JPEG, PNG or WebP)"
    assert lines[40].split() == f"invalid - {folder}/40.png: {reason}".split()
    for at in (0, 31, 32, 69):
        assert lines[at].split()[0] == label_of(picture(seed=at))
    assert len(script.requests) == 3, "a whole folder in one go"


def test_which_model_is_asked(target: str, script: Script, photo: Path) -> None:
    predict.ask_server([photo], Server(target, "waste", version=7), as_json=False)
    predict.ask_server([photo], Server(target, version_label="canary"), as_json=False)
    first, second = (request.model_spec for request in script.requests)
    assert (first.name, first.version.value) == ("waste", 7)
    assert (second.name, second.version_label) == ("sortline", "canary")


def test_tls_files_are_used(script: Script, photo: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    host, ours = authority.issue("localhost"), authority.issue("sorting-plant")
    credentials = grpc.ssl_server_credentials(
        [(host.key.read_bytes(), host.certificate.read_bytes())],
        authority.certificate.read_bytes(),
        require_client_auth=True,
    )
    with serving(script, credentials=credentials) as target:
        server = Server(
            target,
            authority=authority.certificate,
            certificate=ours.certificate,
            key=ours.key,
        )
        assert predict.ask_server([photo], server, as_json=False) == 0
    assert script.peers == [b"sorting-plant"]


def test_nothing_is_asked_when_there_is_nothing_to_ask(
    target: str, script: Script, tmp_path: Path
) -> None:
    for path, said in ((tmp_path / "no.png", "There is no .*no.png"), (tmp_path, "no file in")):
        with pytest.raises(DataError, match=said):
            predict.ask_server([path], Server(target), as_json=False)
    assert script.requests == []


def test_a_contract_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "contract.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"is not the contract of a model .*contract\.json"):
        open_client(Server("localhost:1", contract=tmp_path / "contract.json"))
    with pytest.raises(ArtifactError, match="cannot be read"):
        open_client(Server("localhost:1", contract=tmp_path / "none.json"))


def test_settings_of_a_server_without_one_are_refused() -> None:
    Server().require_none()
    with pytest.raises(ParamsError, match="the version label is given, and not where it is"):
        Server(version_label="stable").require_none()


def test_both_a_model_and_a_server_are_refused_with_exit_code_2(photo: Path) -> None:
    done = run(photo, "--target", "localhost:1", "--saved-model", "m")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sortline: Both a model, m, and a server, localhost:1, are named")


def test_a_server_that_is_not_there_is_exit_code_2(photo: Path) -> None:
    with serving(Script()) as gone:
        pass
    done = run(photo, "--target", gone, "--timeout", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"sortline: {gone}: UNAVAILABLE: ")
    assert "Check that a model server listens there" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    target: str, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://localhost:1")
    with Client(target, max_attempts=1) as client:
        assert client.predict([photo])[0].valid


# --- a real model behind the server of `sortline serve` ---


@pytest.fixture(scope="module")
def base_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    export(folder / "3")
    return folder


@pytest.fixture(scope="module")
def server(base_path: Path) -> Iterator[RunningServer]:
    with running_server(Models("sortline", base_path), timeout_s=300) as running:
        yield running


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Good ones, what a header gives away, and what only pixels do."""
    root = tmp_path / "pictures"
    for label in COLOURS:
        paint(root / f"{label}.png", label, 80)
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(root / "green.png") as image:
        image.save(root / "side.jpg", exif=exif)
    (root / "notes.txt").write_text("hello")
    (root / "large.png").write_bytes(b"")
    Image.new("RGB", (1100, 1000)).save(root / "large.png")
    return root


@pytest.mark.parametrize("as_json", [False, True])
def test_the_lines_are_those_of_the_model_itself(
    server: RunningServer,
    base_path: Path,
    pictures: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    as_json: bool,
) -> None:
    model = base_path / "3"
    assert local_predict.command([pictures], model, as_json=as_json) == 2
    here = capsys.readouterr().out
    contract = model / "assets.extra" / "contract.json"
    there = Server(server.grpc, version=3, contract=contract)
    assert predict.ask_server([pictures], there, as_json=as_json) == 2
    assert capsys.readouterr().out == here


def test_pixels_that_the_model_refuses_are_invalid(server: RunningServer, pictures: Path) -> None:
    whole = (pictures / "red.png").read_bytes()
    images = [whole, whole[:-40], whole]
    with Client(server.grpc) as client:
        found = client.predict(images)
    assert [each.label for each in found] == ["red", "", "red"]
    assert found[1].reason == "undecodable (the model refuses it)"
    assert [each.version for each in found] == [3, 3, 3]

    async def ask() -> object:
        async with AsyncClient(server.grpc) as client:
            return await client.predict(images)

    assert asyncio.run(ask()) == found


def test_a_model_that_is_not_there_is_named(server: RunningServer, pictures: Path) -> None:
    for client in (Client(server.grpc, "none"), Client(server.grpc, version=9)):
        with client, pytest.raises(ServingError, match="Servable not found for req") as caught:
            client.predict([pictures / "red.png"])
        assert caught.value.code == "NOT_FOUND"


def test_the_command_asks_the_server(server: RunningServer, pictures: Path) -> None:
    done = run(pictures / "red.png", pictures / "blue.png", "--target", server.grpc)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["red", "blue"]
