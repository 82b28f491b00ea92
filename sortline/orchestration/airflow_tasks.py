"""Airflow tasks for commands of `sortline`: a subprocess here, or a pod on Kubernetes.

Imports airflow.sdk, the standard library and modules of ours that import as little; the operator
of pods is imported only where pods are asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, TriggerRule, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from sortline.core.graph import Stage
from sortline.core.settings import read_settings
from sortline.orchestration import local_runner
from sortline.orchestration.tasks import Duty, stage_arguments

DATASET = Asset(name="sortline_dataset", uri="x-sortline://dataset")
DRIFT = Asset(name="sortline_drift", uri="x-sortline://drift")
POOLS = {"cpu": "sortline_cpu", "gpu": "sortline_gpu"}
RUN_ID = "{{ run_id }}"
# A lost process or a network failure is tried again; what refuses says so, and is not.
RETRIES = 2
_FRAMING_TIMEOUT_S = 1800


@dataclass(frozen=True)
class Command:
    """One task.

    Attributes:
        task_id: its name.
        arguments: of `sortline`; templates are rendered.
        doc: Markdown: what it does, and what to do when it fails.
        resources: "cpu" or "gpu".
        duty: whose rights its pod has: "publisher" for what writes releases.
        timeout_s: after which it is ended.
        trigger_rule: when it starts.
        outlets: assets that its success updates.
    """

    task_id: str
    arguments: Sequence[str]
    doc: str
    resources: str = "cpu"
    duty: Duty = "trainer"
    timeout_s: int = _FRAMING_TIMEOUT_S
    trigger_rule: TriggerRule = TriggerRule.ALL_SUCCESS
    outlets: tuple[Asset, ...] = ()


def run_here(arguments: list[str]) -> None:
    """Run a command as a subprocess, and tell Airflow what its end means."""
    try:
        local_runner.run(arguments)
    except local_runner.Skipped as ending:
        raise AirflowSkipException(str(ending)) from None
    except local_runner.Failed as ending:
        raise AirflowFailException(str(ending)) from None
    except local_runner.Lost as ending:
        raise AirflowException(str(ending)) from None


def _common(command: Command) -> dict[str, Any]:
    return {
        "task_id": command.task_id,
        "doc_md": command.doc,
        "pool": POOLS[command.resources],
        "retries": RETRIES,
        "retry_delay": timedelta(seconds=read_settings().retry_delay_s),
        "execution_timeout": timedelta(seconds=command.timeout_s),
        "trigger_rule": command.trigger_rule,
        "outlets": list(command.outlets),
    }


def add(command: Command) -> Any:
    """Add a task to the DAG, or the group, that is being built; the task.

    Raises:
        ParamsError: SORTLINE_EXECUTION or a setting of pods is wrong.
    """
    if read_settings().execution == "kubernetes":
        from sortline.orchestration.pods import PodOfCommand, pod_arguments

        pod = pod_arguments(command.resources, command.duty)
        return PodOfCommand(arguments=list(command.arguments), **pod, **_common(command))
    return task(multiple_outputs=False, **_common(command))(run_here)(list(command.arguments))


def add_mapped(command: Command, arguments: Sequence[Sequence[str]]) -> Any:
    """Add one task for each list of arguments; `command.arguments` are not used."""
    lists = [list(words) for words in arguments]
    if read_settings().execution == "kubernetes":
        from sortline.orchestration.pods import PodOfCommand, pod_arguments

        pod = pod_arguments(command.resources, command.duty)
        return PodOfCommand.partial(**pod, **_common(command)).expand(arguments=lists)
    return task(multiple_outputs=False, **_common(command))(run_here).expand(arguments=lists)


def stage_command(stage: Stage, run_id: str = RUN_ID) -> Command:
    """The task of a stage of dvc.yaml; its name is the stage's."""
    return Command(
        task_id=stage.name,
        arguments=stage_arguments(stage.name, run_id),
        doc=_STAGE_DOC.format(stage=stage),
        resources=stage.resources,
        timeout_s=stage.timeout_s,
        # A stage with several above it: one that was skipped on purpose does not hold it up.
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
    )


_STAGE_DOC = """\
**{stage.description}** The stage `{stage.name}` of dvc.yaml, in a throw-away clone.

*When it fails:* the last lines of the log say what was seen, what was required and what to do.
Exit status 2 is a refusal or a defect: change something, then clear this task. Exit status 75 or a
signal is a lost process or network: it is tried {retries} more times by itself; clear it to try
again. Clearing is always safe: training goes on from its last epoch.
"""
_STAGE_DOC = _STAGE_DOC.replace("{retries}", str(RETRIES))
