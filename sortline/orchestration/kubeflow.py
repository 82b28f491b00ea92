"""dvc.yaml as a Kubeflow pipeline: the tasks of the DAG that train and gate, one command a pod.

A run of Kubeflow has one service account for all of its pods, so nothing is released here: its pods
are a trainer's. The pipeline is described here as plain data; kfp, whose pins fight those of this
project, turns it into YAML in an environment of its own (infra/tools/kubeflow_compiler.py).
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from sortline.core.errors import ArtifactError, ParamsError, UnreachableError
from sortline.core.files import atomic_dir, atomic_file, sha256_file
from sortline.core.graph import read_graph
from sortline.orchestration.tasks import (
    COMMAND,
    SCRATCH,
    STATE,
    USER,
    PodSpec,
    plan_arguments,
    pod_spec,
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
_CRON_FIELDS = 6
_PROGRAMS = Path("infra", "tools")
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


def describe(root: Path) -> Pipeline:
    """The pipeline of `root`/dvc.yaml, for the cluster that the environment's settings describe.

    Raises:
        ParamsError: dvc.yaml cannot be scheduled, or a setting of pods is wrong.
    """
    placeholders = {name: f"{GIVEN}{name}" for name in PARAMETERS}
    told = {
        "revision" if name == "git_revision" else name: value
        for name, value in placeholders.items()
    }
    planned = (*plan_arguments(_RUN_ID, "kubeflow", **told), "--answer", ANSWER)
    stages = [
        Task(
            name=task_name(stage.name),
            description=stage.description,
            command=COMMAND,
            arguments=stage_arguments(stage.name, _RUN_ID),
            after=tuple(map(task_name, stage.upstream)),
            timeout_s=stage.timeout_s,
            pod=pod_spec(stage.resources),
        )
        for stage in read_graph(root).values()
    ]
    return Pipeline(
        name=NAME,
        parameters=PARAMETERS,
        plan=_framing(PLAN, "Decide what is trained, and whether it is new.", planned),
        stages=tuple(stages),
        record=_framing(RECORD, "Write how the run ended.", record_arguments(_RUN_ID)),
    )


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
    uv = shutil.which("uv", path=f"{os.environ.get('PATH', '')}{os.pathsep}{root / '.uv/bin'}")
    python = folder / "bin" / "python"
    if uv:
        call_kfp(uv, "venv", "--quiet", "--python", sys.executable, folder)
        call_kfp(uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python, lock)
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


def compile_pipeline(root: Path, out: Path) -> None:
    """Write the pipeline's YAML, whole or not at all.

    Raises:
        ParamsError: see `describe`.
        UnreachableError: kfp cannot be had, or fails.
    """
    described = json.dumps(asdict(describe(root)))
    python = kfp_environment(root)
    text = call_kfp(python, root / _PROGRAMS / "kubeflow_compiler.py", given=described)
    with atomic_file(out) as partial:
        partial.write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class Recurring:
    """A pipeline that runs by itself.

    Attributes:
        host: address of Kubeflow Pipelines' API.
        cron: six fields, seconds first.
        recipe: of every run; "" for params.yaml as it is.
    """

    host: str
    cron: str
    recipe: str


def schedule(root: Path, recurring: Recurring) -> str:
    """Compile, and have it run by the clock, in place of what was scheduled before; its id.

    One run at a time, none made up for, as the trainer, in the namespace of pods.

    Raises:
        ParamsError: the cron expression does not have six fields; see `describe`.
        UnreachableError: Kubeflow does not answer.
    """
    if len(recurring.cron.split()) != _CRON_FIELDS:
        raise ParamsError(
            f"--cron is {recurring.cron!r}. Kubeflow wants six fields, seconds first, such as"
            " '0 0 3 * * 1': Mondays at 03:00."
        )
    pod = pod_spec("cpu")
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "pipeline.yaml"
        compile_pipeline(root, package)
        asked = {
            **asdict(recurring),
            "name": NAME,
            "namespace": pod.namespace,
            "account": pod.account,
            "package": str(package),
            "parameters": {**dict.fromkeys(PARAMETERS, ""), "recipe": recurring.recipe},
        }
        program = root / _PROGRAMS / "kubeflow_schedule.py"
        output = call_kfp(kfp_environment(root), program, given=json.dumps(asked))
    return output.splitlines()[-1]
