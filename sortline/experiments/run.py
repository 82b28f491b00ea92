"""`sortline run`: the graph with a recipe laid over params.yaml, as a DVC experiment.

The experiment runs in a temporary copy of the repository (`dvc exp run --temp`): params.yaml and
the working tree stay as they are, while DVC's stage cache and `dvc exp show` know of it. What it
made is brought to `runs/<recipe>/`, laid out like the repository.
"""

import contextlib
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from sortline.core.dvc import dvc_output
from sortline.core.errors import DataError, ParamsError, SortlineError
from sortline.core.files import atomic_dir, exclusive, write_json
from sortline.core.git import git
from sortline.core.params import overlay, read_yaml
from sortline.core.paths import Paths
from sortline.experiments.identity import identity_of

_BROUGHT = (
    "artifacts/saved_model",
    "artifacts/litert",
    "artifacts/phase1",
    "artifacts/phase2",
    "reports",
)
_NO_RECIPE = "params"
_STARTING_S = 120.0

Check = Callable[[Mapping[str, Any], str], object]
"""Checks all of the settings; a `ParamsError` says what is wrong with those of a source."""


@dataclass(frozen=True)
class Experiment:
    """A run of the graph that is to be made, or was.

    Attributes:
        recipe: its name, and of its folder in `runs/`.
        name: the experiment's name in DVC: the recipe and a hash of everything it depends on.
        overrides: what differs from params.yaml, in the grammar of `dvc exp run --set-param`.
    """

    recipe: str
    name: str
    overrides: tuple[str, ...]


def _literal(value: Any) -> str:
    # Hydra's grammar of values: JSON's, but for keys, which it wants bare.
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_literal(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def overrides_of(
    base: Mapping[str, Any], recipe: Mapping[str, Any], prefix: str = ""
) -> Iterator[str]:
    """The recipe's values that differ from the base's, as `key.key=value`."""
    for key, value in recipe.items():
        old = base.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            yield from overrides_of(old, value, f"{prefix}{key}.")
        elif value != old or key not in base:
            yield f"{'' if key in base else '+'}{prefix}{key}={_literal(value)}"


def recipe_file(root: Path, name: str) -> Path:
    """The file of a recipe.

    Raises:
        ParamsError: there is none of that name; the message lists those there are.
    """
    path = root / "recipes" / f"{name}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in (root / "recipes").glob("*.yaml")))
        raise ParamsError(f"There is no recipe {name!r} in recipes/. There are: {names or 'none'}.")
    return path


def read_recipe(root: Path, recipe: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values of params.yaml, and those of a recipe (none without one), unchecked.

    Raises:
        ParamsError: the recipe is unknown, or a file is not YAML.
    """
    return read_yaml(Paths(root).params), read_yaml(recipe_file(root, recipe)) if recipe else {}


def source_of(recipe: str | None) -> str:
    """What settings are called in a message about them."""
    return f"params.yaml with recipes/{recipe}.yaml" if recipe else "params.yaml"


def plan(root: Path, recipe: str | None, laid: Mapping[str, Any] | None = None) -> Experiment:
    """Name the experiment; nothing runs yet.

    Args:
        root: the repository.
        recipe: its name; None for params.yaml alone.
        laid: what is laid over params.yaml; the recipe's own values if None.

    Raises:
        ParamsError: the recipe is unknown.
    """
    base, own = read_recipe(root, recipe)
    laid = own if laid is None else laid
    settings = overlay(base, laid)
    name = recipe or _NO_RECIPE
    identity = identity_of(root, settings)
    return Experiment(name, f"{name}-{identity[:10]}", tuple(overrides_of(base, laid)))


def find(root: Path, experiment: Experiment) -> str | None:
    """The commit of the experiment if it was run before, in whatever branch."""
    refs = git(
        root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps", error=SortlineError
    )
    for line in refs.splitlines():
        commit, ref = line.split(" ", 1)
        if ref.rsplit("/", 1)[-1] == experiment.name:
            return commit
    return None


def _dvc(root: Path, *arguments: str) -> int:
    from dvc.cli import main

    # Features and checkpoints outlive the experiment's temporary folder.
    os.environ.setdefault("SORTLINE_STATE_DIR", str(Paths(root).state.resolve()))
    # The stages' `python` is this one, also where no environment is activated.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    # DVC warns of every output that no earlier run has left, as if something were amiss.
    for name in ("dvc_data.hashfile.checkout", "dvc_data.index.checkout"):
        logging.getLogger(name).addFilter(lambda record: "No file hash" not in str(record.msg))
    with contextlib.chdir(root):
        return int(main(list(arguments)))


def check_data(root: Path) -> None:
    """Make sure that what an experiment sees is what lies in `data/`.

    Raises:
        DataError: `data/` is missing, or is not what `data.dvc` pins.
    """
    if not (root / "data").is_dir():
        raise DataError(
            "There is no data/. Get the pinned dataset with `dvc pull data.dvc`, draw the generated"
            " one with `sortline generate`, or bring your own with `sortline ingest SRC`; then"
            " `dvc add data`."
        )
    if json.loads(dvc_output(root, "status", "--json", "data.dvc", error=DataError) or "{}"):
        raise DataError(
            "data/ is not what data.dvc pins: a run would not see your changes. Run `dvc add data`"
            " to pin it as it is, or `dvc checkout data.dvc` to go back."
        )


def _bring(root: Path, experiment: Experiment, commit: str, target: Path) -> None:
    from dvc.api import DVCFileSystem

    from sortline.reporting.report import build_report

    with atomic_dir(target) as folder:
        files = DVCFileSystem(str(root), rev=commit)
        for part in _BROUGHT:
            if files.exists(part):
                files.get(part, str(folder / part), recursive=True)
        files.get("params.yaml", str(folder / "params.yaml"))
        files.get("data.dvc", str(folder / "data.dvc"))
        write_json(folder / "run.json", {"experiment": experiment.name, "commit": commit})
        build_report(folder, folder / "report.html")


def run_experiment(root: Path, recipe: str | None, check: Check) -> Path:
    """Run the graph with a recipe (None: params.yaml alone); returns `runs/<recipe>/`.

    A run whose settings, data, code and champion are those of an earlier one is not run again.

    Args:
        root: the repository.
        recipe: its name.
        check: refuses settings that cannot be used.

    Raises:
        ParamsError: the recipe is unknown, or the settings that it makes are wrong.
        DataError: see `check_data`.
        BusyError: another run is going on in this repository.
        SortlineError: a step failed; it has said why.
    """
    with exclusive(root / ".sortline" / "run.lock", "A run of the graph"):
        check_data(root)
        check(overlay(*read_recipe(root, recipe)), source_of(recipe))
        experiment = plan(root, recipe)
        target = root / "runs" / experiment.recipe
        note = target / "run.json"
        if note.is_file() and json.loads(note.read_text("utf-8"))["experiment"] == experiment.name:
            print(f"Nothing changed since the last run of {experiment.recipe}.")
            return target
        commit = find(root, experiment) or execute(root, experiment)
        _bring(root, experiment, commit, target)
        return target


def sweep(root: Path) -> list[Path]:
    """Remove the copies of the repository that killed experiments left; returns them.

    DVC removes its own copies, but for SIGKILL. One in which a process works, or which is younger
    than what starting takes, belongs to an experiment that goes on.
    """
    copies = (root / ".dvc" / "tmp" / "exps" / "standalone").glob("tmp*")
    old = [folder for folder in copies if time.time() - folder.stat().st_mtime > _STARTING_S]
    working = [process.info["cwd"] for process in psutil.process_iter(["cwd"])] if old else []
    in_use = [Path(folder) for folder in working if folder]
    stale = [
        folder
        for folder in old
        if not any(work.is_relative_to(folder.resolve()) for work in in_use)
    ]
    for folder in stale:
        shutil.rmtree(folder, ignore_errors=True)
    return stale


def execute(root: Path, experiment: Experiment) -> str:
    """Run an experiment in a copy of the repository; returns its commit.

    Several can run at once, each in its own process.

    Raises:
        SortlineError: a step failed; it has said why.
    """
    sweep(root)
    settings = [f"--set-param=params.yaml:{override}" for override in experiment.overrides]
    # DVC's lock is held only while an experiment is set up and while its results are taken over.
    command = ("--wait-for-lock", "exp", "run", "--temp", "--name", experiment.name)
    code = _dvc(root, *command, *settings)
    commit = find(root, experiment)
    if code != 0 or commit is None:
        raise SortlineError(
            f"The run of {experiment.recipe} ended early (exit code {code}); the step above says"
            " why. Run the same command to go on: finished steps are not run again."
        )
    return commit
