"""dvc.yaml as a Kubeflow pipeline: the tasks of the DAG that train and gate, one command a pod.

A run of Kubeflow has one service account for all of its pods, so nothing is released here: its pods
are a trainer's. The pipeline is described here as plain data; kfp, whose pins fight those of this
project, turns it into YAML in an environment of its own (pipeline_steps/infra/kubeflow_compiler).
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline_steps.artifacts import atomic_dir, atomic_file, require, sha256_file
from pipeline_steps.errors import ArtifactError, UnreachableError
from pipeline_steps.orchestration.graph import Stage, read_graph
from pipeline_steps.orchestration.pod_spec import (
    COMMAND,
    SCRATCH,
    STATE,
    USER,
    PodSpec,
    pod_spec,
)
from pipeline_steps.orchestration.task_commands import (
    plan_arguments,
    record_arguments,
    stage_arguments,
)

NAME = "sortline-retraining"
GIVEN = "kubeflow-input:"
"""Starts an argument that is a parameter of the pipeline; the rest of it is the name."""
ANSWER = "kubeflow-output:answer"
"""The argument that is a file for what a task answers."""
PLAN, RECORD = "resolve-revision", "record"
PARAMETERS = {
    "git_revision": "A branch, a tag or a commit. Empty: the repository's HEAD.",
    "recipe": "A file of recipes/, laid over params.yaml. Empty: params.yaml as it is.",
    "data_revision": "A git revision whose data.dvc is used, or its MD5. Empty: the newest.",
    "champion": "The model to beat: an address, or none. Empty: the repository's champion/.",
}
_RUN_ID = f"{GIVEN}run_id"
_FRAMING_TIMEOUT_S = 1800
_LOCK = Path("infra/kubeflow/requirements.lock")
_ERROR_CHARS = 2000


@dataclass(frozen=True)
class Task:
    """One task, as the compiler reads it.

    Attributes:
        name: the stage's, with dashes for underscores.
        description: one sentence.
        command: the program.
        arguments: of it; see `GIVEN` and `ANSWER`.
        after: names of the tasks that end before it starts.
        timeout_s: after which its pod is ended.
        pod: what it is given.
    """

    name: str
    description: str
    command: str
    arguments: tuple[str, ...]
    after: tuple[str, ...]
    timeout_s: int
    pod: PodSpec


@dataclass(frozen=True)
class Pipeline:
    """The pipeline.

    Attributes:
        name: its name.
        parameters: what a person may say of a run, with its explanation; all are "" by default.
        plan: the first task; it answers "new" or "same", and the stages run when it is "new".
        stages: of dvc.yaml.
        record: runs at every ending.
        scratch, state: folders for volumes of a pod.
        user: number of the user as whom pods run.
    """

    name: str
    parameters: dict[str, str]
    plan: Task
    stages: tuple[Task, ...]
    record: Task
    scratch: str = SCRATCH
    state: str = STATE
    user: int = USER


def task_name(stage: str) -> str:
    """A stage's name as Kubeflow has it."""
    return stage.replace("_", "-")


def _framing(name: str, description: str, arguments: tuple[str, ...]) -> Task:
    return Task(name, description, COMMAND, arguments, (), _FRAMING_TIMEOUT_S, pod_spec("cpu"))


def _task(stage: Stage) -> Task:
    return Task(
        name=task_name(stage.name),
        description=stage.description,
        command=COMMAND,
        arguments=stage_arguments(stage.name, _RUN_ID),
        after=tuple(map(task_name, stage.upstream)),
        timeout_s=stage.timeout_s,
        pod=pod_spec(stage.resources),
    )


def describe(root: Path) -> Pipeline:
    """The pipeline of `root`/dvc.yaml, for the cluster that the environment's settings describe.

    Raises:
        ParamsError: dvc.yaml cannot be scheduled, or a setting of pods is wrong.
    """
    given = {name: f"{GIVEN}{name}" for name in PARAMETERS}
    told = {"revision" if name == "git_revision" else name: value for name, value in given.items()}
    planned = (*plan_arguments(_RUN_ID, "kubeflow", **told), "--answer", ANSWER)
    return Pipeline(
        name=NAME,
        parameters=PARAMETERS,
        plan=_framing(PLAN, "Decide what is trained, and whether it is new.", planned),
        stages=tuple(map(_task, read_graph(root).values())),
        record=_framing(RECORD, "Write how the run ended.", record_arguments(_RUN_ID)),
    )


def _called(*command: str | Path, given: str | None = None) -> str:
    # Nothing of ours is on its path: its packages are not ours.
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
        _called(found, "venv", "--quiet", "--python", sys.executable, folder)
        _called(found, "pip", "sync", "--quiet", "--require-hashes", "--python", python, lock)
    else:
        _called(sys.executable, "-m", "venv", folder)
        options = ("--quiet", "--disable-pip-version-check", "--require-hashes", "--requirement")
        _called(python, "-m", "pip", "install", *options, lock)


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


def compile_pipeline(root: Path, out: Path) -> None:
    """Write the pipeline's YAML, whole or not at all.

    Raises:
        ParamsError: see `describe`.
        UnreachableError: kfp cannot be had, or fails.
    """
    described = json.dumps(asdict(describe(root)))
    python = kfp_environment(root)
    compiler = require(
        Path(__file__).parents[1] / "infra" / "kubeflow_compiler.py", "git checkout pipeline_steps"
    )
    with atomic_file(out) as partial:
        partial.write_text(_called(python, compiler, given=described), encoding="utf-8")
