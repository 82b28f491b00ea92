"""A small repository of its own for a test: this code, a tiny generated dataset, quick settings."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from sortline.core.params import overlay, read_yaml
from sortline.synthetic.generated import generate, subset_counts

ROOT = Path(__file__).parents[2]
TINY = {
    "validate": {"min_images_per_class": 1, "severity": {"near_duplicates": "warning"}},
    "augment": {"views": 1},
    "backbone": {"alpha": 0.35, "image_size_px": 96, "weights": "demo"},
    "head": {"hidden_units": 16},
    "train_phase1": {"epochs": 3, "learning_rate": 0.01},
    "fine_tune_phase2": {"epochs": 3, "learning_rate": 0.001},
    "export": {"parity_images": 8},
    "evaluate": {"bootstrap_samples": 200, "worst_mistakes": 4, "latency_calls": 5},
}


def environment(**extra: str) -> dict[str, str]:
    """This process's variables, with the environment's programs first and no state from outside."""
    kept = {name: value for name, value in os.environ.items() if name != "SORTLINE_STATE_DIR"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    return {**kept, "PATH": path, "DVC_NO_ANALYTICS": "true", **extra}


def call(
    folder: Path, *command: str, check: bool = True, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a workspace; its output is shown when it fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(**extra),
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{command} gave {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def git(folder: Path, *arguments: str) -> str:
    """Run git as nobody in particular."""
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    return call(folder, "git", *identity, *arguments).stdout


def copy_code(folder: Path) -> None:
    """Copy the package, the recipes and the settings, as they are in the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    wanted = ("pipeline_steps/", "sortline/", "plugins/", "recipes/", "champion/none.json")
    for name in [*listed, "params.yaml", "dvc.yaml", ".dvcignore", ".gitignore"]:
        whole = name in ("params.yaml", "dvc.yaml", ".dvcignore", ".gitignore")
        if (whole or name.startswith(wanted)) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


def write_params(folder: Path, changes: dict[str, object]) -> None:
    """Lay changes over the workspace's params.yaml."""
    values = overlay(read_yaml(folder / "params.yaml"), changes)
    with (folder / "params.yaml").open("w") as file:
        YAML().dump(values, file)


def make_workspace(folder: Path, images: tuple[int, int, int] = (120, 40, 40)) -> Path:
    """A committed repository with data/ pinned by data.dvc, on which nothing has run."""
    folder.mkdir(parents=True)
    copy_code(folder)
    write_params(folder, TINY)
    train, val, test = images
    generate(
        folder / "data",
        seed=1,
        counts=subset_counts({"train": train, "val": val, "test": test}),
        workers=1,
    )
    git(folder, "init", "--quiet", "--initial-branch=main")
    call(folder, "dvc", "init", "--quiet")
    call(folder, "dvc", "config", "core.analytics", "false")
    call(folder, "dvc", "add", "--quiet", "data")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=workspace")
    return folder
