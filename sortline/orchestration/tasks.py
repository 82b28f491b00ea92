"""What a task is, whoever starts it: the arguments of its command, and what its pod is given.

Airflow, its pods and Kubeflow call the same commands. A list of arguments is never a line for a
shell, so a value cannot become anything but the value of its option. Imports little: DAG files are
parsed every few seconds.
"""

import os
from dataclasses import dataclass
from typing import Literal

from sortline.core.settings import read_settings, required

Duty = Literal["trainer", "publisher"]
SCRATCH, STATE = "/scratch", "/state"
COMMAND = "sortline"
GPU = "nvidia.com/gpu"
USER = 10001
FORWARDED = (
    "SORTLINE_REPOSITORY",
    "SORTLINE_DVC_REMOTE",
    "SORTLINE_RUN_STORE",
    "SORTLINE_FEATURES",
    "SORTLINE_RELEASES",
    "SORTLINE_ENDPOINTS",
    "SORTLINE_PREDICTION_LOG",
    "SORTLINE_NOTIFY_URL",
    "AWS_ENDPOINT_URL",
    "AWS_DEFAULT_REGION",
)
"""What a pod gets from its scheduler's environment; credentials come from its service account."""
_SIZES = {
    "cpu": {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "20Gi"},
    "gpu": {"cpu": "4", "memory": "16Gi", "ephemeral-storage": "40Gi"},
}


def plan_arguments(run_id: str, trigger: str, **given: str) -> tuple[str, ...]:
    """Decide what a run trains.

    Args:
        run_id: the run's, or what a scheduler puts it in place of.
        trigger: why it runs.
        given: options of `sortline retraining plan`, with underscores.
    """
    options = ((f"--{name.replace('_', '-')}", value) for name, value in given.items())
    told = ("--run-id", run_id, "--trigger", trigger)
    return ("retraining", "plan", *told, *(word for option in options for word in option))


def stage_arguments(name: str, run_id: str) -> tuple[str, ...]:
    """Do a stage of dvc.yaml."""
    return ("retraining", "stage", name, "--run-id", run_id)


def record_arguments(run_id: str) -> tuple[str, ...]:
    """Write how a run ended."""
    return ("retraining", "record", "--run-id", run_id)


@dataclass(frozen=True)
class PodSpec:
    """One pod, in no library's words.

    Attributes:
        image: with a tag.
        namespace: where it runs.
        account: its service account, whose rights it has.
        variables: environment.
        requests, limits: quantities by resource, as Kubernetes writes them.
        nodes: labels that its node has.
        tolerated: keys of taints that do not keep it away.
        state_claim: a persistent volume claim for what a training keeps between tries, or None.
        labels: of the pod: network rules choose by them.
    """

    image: str
    namespace: str
    account: str
    variables: dict[str, str]
    requests: dict[str, str]
    limits: dict[str, str]
    nodes: dict[str, str]
    tolerated: tuple[str, ...]
    state_claim: str | None
    labels: dict[str, str]


def pod_spec(resources: str, duty: Duty = "trainer") -> PodSpec:
    """What a pod of "cpu" or "gpu" is given for a duty.

    Raises:
        ParamsError: the image is not named, or a setting is not what it should be.
    """
    settings, size = read_settings(), _SIZES[resources]
    gpus = settings.gpus if resources == "gpu" else 0
    accounts = {"trainer": settings.service_account, "publisher": settings.publisher_account}
    gpu = {GPU: str(gpus)} if gpus else {}
    return PodSpec(
        image=required("image", "registry.example/sortline-train:0.2.0"),
        namespace=settings.namespace,
        account=accounts[duty],
        variables={
            **{name: os.environ[name] for name in FORWARDED if os.environ.get(name)},
            "HOME": SCRATCH,
            "TMPDIR": SCRATCH,
            "SORTLINE_WORK_DIR": f"{SCRATCH}/work",
            "SORTLINE_STATE_DIR": STATE,
            "PYTHONUNBUFFERED": "1",
        },
        requests={**size, **gpu},
        # Processor time is not limited: a throttled training is slower and no safer.
        limits={**{name: value for name, value in size.items() if name != "cpu"}, **gpu},
        nodes=settings.gpu_nodes if gpus else {},
        tolerated=(GPU,) if gpus else (),
        state_claim=settings.state_claim,
        labels={
            "app.kubernetes.io/part-of": "sortline",
            "sortline/resources": resources,
            "sortline/duty": duty,
        },
    )
