"""A committed repository for plans: this code, its settings, a dataset that is only named."""

import subprocess
from pathlib import Path

from helpers.workspaces import copy_code, git
from sortline.orchestration.settings import Settings

DATA_MD5 = "0123456789abcdef0123456789abcdef.dir"


def data_dvc(md5: str = DATA_MD5) -> str:
    """The text of a data.dvc."""
    return f"outs:\n- md5: {md5}\n  size: 1\n  nfiles: 1\n  hash: md5\n  path: data\n"


def make_repository(folder: Path) -> Path:
    """A repository on which a run can be planned; there is no data to train on."""
    folder.mkdir(parents=True)
    copy_code(folder)
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    (folder / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (folder / "data.dvc").write_text(data_dvc())
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "repository")
    return folder


def commit(folder: Path, message: str) -> str:
    """Commit everything; the commit's hash."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD").strip()


def settings_for(repository: Path, folder: Path, **changes: object) -> Settings:
    """Settings with everything below a folder."""
    given: dict[str, object] = {
        "repository": str(repository),
        "dvc_remote": str(folder / "remote"),
        "run_store": str(folder / "store"),
        "dvc_cache": None,
        "state": folder / "state",
        "work": folder / "work",
        "features": None,
        "releases": None,
        "endpoints": None,
        "notify_url": None,
    }
    return Settings(**{**given, **changes})  # type: ignore[arg-type]


def branches(repository: Path) -> list[str]:
    """Names of all branches."""
    shown = subprocess.run(
        ["git", "branch", "--format=%(refname:short)"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    return shown.stdout.split()
