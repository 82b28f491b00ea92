"""`pip install sortline` is small, and enough to ask: no TensorFlow comes along or is missed."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from helpers.scripted_server import Script, label_of, lying_on_its_side, picture, serving

REPOSITORY = Path(__file__).parents[2]
ABSENT = ("tensorflow", "tensorflow_serving", "keras", "pandas", "pyarrow")

LOADED = """
import sys
import sortline.client.async_client
import sortline.client.client
unwanted = {"PIL", "prometheus_client", "pydantic", *sys.argv[1:]}
print(sorted({name.split(".")[0] for name in sys.modules} & unwanted))
"""

ASK = """
import asyncio, importlib.util, sys
from pathlib import Path
target, photo, *absent = sys.argv[1:]
assert not [name for name in absent if importlib.util.find_spec(name)]

from sortline.client import Client
client = Client(target)
print(*[each.label for each in client.predict([Path(photo)])])

from prometheus_client import CollectorRegistry
from sortline.client.async_client import AsyncClient
from sortline.client.client_metrics import ClientMetrics

async def main():
    async with AsyncClient(target, metrics=ClientMetrics(CollectorRegistry())) as client:
        print(*[each.label for each in await client.predict([Path(photo)])])

asyncio.run(main())
"""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


def test_importing_the_client_loads_nothing_that_it_may_not_need() -> None:
    done = run(sys.executable, "-c", LOADED, *ABSENT)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_importing_the_client_changes_nothing_of_the_process() -> None:
    script = (
        "import os, sys; before = dict(os.environ), list(sys.meta_path), list(sys.path_hooks);"
        "from sortline.client import AsyncClient, Client, Prediction, Tls;"
        "assert (dict(os.environ), list(sys.meta_path), list(sys.path_hooks)) == before"
    )
    done = run(sys.executable, "-c", script)
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_the_client_registers_no_metric() -> None:
    script = (
        "import prometheus_client as p; before = len(list(p.REGISTRY.collect()));"
        "import sortline.client.client, sortline.client.client_metrics;"
        "assert len(list(p.REGISTRY.collect())) == before"
    )
    done = run(sys.executable, "-c", script)
    assert (done.returncode, done.stderr) == (0, "")


def find_uv() -> str:
    found = shutil.which("uv") or REPOSITORY / ".uv" / "bin" / "uv"
    return str(found)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as users install it."""
    folder = tmp_path_factory.mktemp("wheel")
    done = run(find_uv(), "build", "--quiet", "--wheel", "--out-dir", folder)
    assert done.returncode == 0, done.stderr
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel, without any extra, and nothing else."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    uv = find_uv()
    made = run(uv, "venv", "--quiet", "--python", sys.executable, folder)
    assert made.returncode == 0, made.stderr
    constraint = ("--constraint", "requirements.lock")
    python = folder / "bin" / "python"
    done = run(uv, "pip", "install", "--quiet", "--python", python, wheel, *constraint)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


@pytest.mark.slow
def test_a_wheel_holds_the_steps_and_every_file_that_the_package_reads(wheel: Path) -> None:
    listed = run("git", "ls-files", "sortline", "pipeline_steps")
    assert "pipeline_steps/gate.py" in listed.stdout.split()
    assert set(listed.stdout.split()) <= set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.slow
def test_an_environment_with_the_client_alone_predicts(installed: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(picture("JPEG"))
    label = label_of(photo.read_bytes())
    with serving(Script()) as target:
        # Not the repository's own package, which lies in the current folder: -P leaves that out.
        done = run(installed / "python", "-P", "-c", ASK, target, photo, *ABSENT)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.split() == [label, label]
        (tmp_path / "side.jpg").write_bytes(lying_on_its_side())
        asked = run(installed / "sortline", "predict", photo, tmp_path, "--target", target)
        assert (asked.returncode, asked.stderr) == (0, "")
        assert asked.stdout.split()[0] == label
        assert len(asked.stdout.splitlines()) == 3


@pytest.mark.slow
def test_without_tensorflow_a_model_in_this_process_is_refused_in_words(
    installed: Path, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(picture("JPEG"))
    done = run(installed / "sortline", "predict", photo)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not installed" in done.stderr
    assert "sortline[train]" in done.stderr
    assert len(done.stderr.splitlines()) == 1
