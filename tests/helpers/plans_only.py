"""A repository for Airflow on which only plans are real: a run costs seconds."""

import sys
from pathlib import Path

from helpers.workspaces import ROOT, call, copy_code, git
from sortline.core.dvc import read_pin

_DVC_CONFIG = "[core]\n    analytics = false\n    check_update = false\n"
# Stands in for the project's Python: a plan is made, and then there is nothing to do.
_STUB = """\
#!/bin/sh
case "$4" in
  plan) {python} "$@" || exit $?; exit 99 ;;
  look|remember) exec {python} "$@" ;;
esac
"""


def commit(repository: Path, message: str) -> str:
    """Commit everything; the commit's hash."""
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", message)
    return git(repository, "rev-parse", "HEAD").strip()


def new_data(repository: Path, text: str) -> str:
    """Another dataset, as `dvc add` pins it; its MD5."""
    (repository / "data" / "train" / "can").mkdir(parents=True, exist_ok=True)
    (repository / "data" / "train" / "can" / "1.jpg").write_text(text)
    call(repository, "dvc", "add", "--quiet", "data")
    return read_pin(repository / "data.dvc").digest


def make_small_repository(folder: Path) -> Path:
    """A committed repository with DAG files, and a dataset of one file."""
    folder.mkdir()
    copy_code(folder)
    for path in (ROOT / "dags").glob("*.py"):
        (folder / "dags").mkdir(exist_ok=True)
        (folder / "dags" / path.name).write_bytes(path.read_bytes())
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text(_DVC_CONFIG)
    (folder / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    git(folder, "init", "--quiet", "--initial-branch=main")
    new_data(folder, "the first")
    commit(folder, "repository")
    return folder


def planning_python(folder: Path) -> Path:
    """What SORTLINE_PYTHON can name, to make plans and looks, and nothing else."""
    path = folder / "python"
    path.write_text(_STUB.format(python=sys.executable))
    path.chmod(0o755)
    return path
