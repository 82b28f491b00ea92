"""An environment for kfp alone, whose pins fight those of Airflow and TensorFlow."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from sortline.core.errors import ArtifactError, UnreachableError
from sortline.core.files import atomic_dir, sha256_file

_LOCK = Path("infra/kubeflow/requirements.lock")
_ERROR_CHARS = 2000


def call_kfp(*command: str | Path, given: str | None = None) -> str:
    """What a program prints, with nothing of this project on its path.

    Raises:
        UnreachableError: it failed.
    """
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        input=given,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise UnreachableError(
            f"`{command[0]}` failed with {done.returncode}: {done.stderr[-_ERROR_CHARS:].strip()}."
            " kfp's environment is made from the package index: check the network, then run the"
            " same command again."
        )
    return done.stdout


def _install(folder: Path, lock: Path, root: Path) -> None:
    # By uv where there is one, as the Makefile does: pip takes half a minute for the same.
    found = shutil.which("uv", path=f"{os.environ.get('PATH', '')}{os.pathsep}{root / '.uv/bin'}")
    python = folder / "bin" / "python"
    if found:
        call_kfp(found, "venv", "--quiet", "--python", sys.executable, folder)
        call_kfp(found, "pip", "sync", "--quiet", "--require-hashes", "--python", python, lock)
    else:
        call_kfp(sys.executable, "-m", "venv", folder)
        options = ("--quiet", "--disable-pip-version-check", "--require-hashes", "--requirement")
        call_kfp(python, "-m", "pip", "install", *options, lock)


def kfp_environment(root: Path) -> Path:
    """The Python that has kfp, in an environment of its own below .sortline/, made when missing.

    Raises:
        ArtifactError: the lock of its packages is missing.
        UnreachableError: the package index does not answer.
    """
    lock = root / _LOCK
    if not lock.is_file():
        raise ArtifactError(f"{lock} is missing. Run in the repository's top folder.")
    folder = root / ".sortline" / f"kfp-{sha256_file(lock)[:16]}"
    if not folder.is_dir():
        with atomic_dir(folder) as partial:
            _install(partial, lock, root)
    return folder / "bin" / "python"
