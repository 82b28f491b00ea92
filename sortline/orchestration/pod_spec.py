"""What a pod for a command of `sortline` is given, whoever starts it: Airflow or Kubeflow.

Imports the standard library alone: DAG files are parsed every few seconds.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sortline.core.errors import ParamsError
from sortline.orchestration.settings import FORWARDED

Duty = Literal["trainer", "publisher"]
SCRATCH, STATE = "/scratch", "/state"
COMMAND = "sortline"
GPU = "nvidia.com/gpu"
USER = 10001
_ACCOUNTS: Mapping[Duty, str] = {
    "trainer": "SORTLINE_SERVICE_ACCOUNT",
    "publisher": "SORTLINE_PUBLISHER_ACCOUNT",
}
_SIZES = {
    "cpu": {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "20Gi"},
    "gpu": {"cpu": "4", "memory": "16Gi", "ephemeral-storage": "40Gi"},
}


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


def _setting(name: str, default: str | None = None) -> str:
    value = os.environ.get(name) or default
    if value is None:
        raise ParamsError(
            f"{name} is not set, and pods need it. Set it where the DAGs are parsed, or the"
            " pipeline is compiled."
        )
    return value


def _gpus() -> int:
    text = _setting("SORTLINE_GPUS", "1")
    if not text.isdecimal():
        raise ParamsError(
            f"SORTLINE_GPUS is {text!r}. Set it to the number of GPUs that a pod of a gpu stage"
            " gets; 0 where the cluster has none."
        )
    return int(text)


def _nodes() -> dict[str, str]:
    text = _setting("SORTLINE_GPU_NODES", '{"nvidia.com/gpu.present": "true"}')
    try:
        labels = json.loads(text)
    except ValueError:
        labels = None
    if not isinstance(labels, dict):
        raise ParamsError(
            f'SORTLINE_GPU_NODES is {text!r}. Set it to a JSON object, such as {{"gpu": "true"}}.'
        )
    return {str(name): str(value) for name, value in labels.items()}


def _variables() -> dict[str, str]:
    forwarded = {name: os.environ[name] for name in FORWARDED if os.environ.get(name)}
    own = {
        "HOME": SCRATCH,
        "TMPDIR": SCRATCH,
        "SORTLINE_WORK_DIR": f"{SCRATCH}/work",
        "SORTLINE_STATE_DIR": STATE,
        "PYTHONUNBUFFERED": "1",
    }
    return {**forwarded, **own}


def pod_spec(resources: str, duty: Duty = "trainer") -> PodSpec:
    """What a pod of "cpu" or "gpu" is given for a duty.

    Reads SORTLINE_IMAGE, SORTLINE_NAMESPACE, SORTLINE_SERVICE_ACCOUNT, SORTLINE_PUBLISHER_ACCOUNT,
    SORTLINE_GPUS (a pod's; 0: the cluster has none, and gpu stages run on any node),
    SORTLINE_GPU_NODES (JSON: labels of nodes), SORTLINE_STATE_CLAIM.

    Raises:
        ParamsError: the image is not named, or a setting is not what it should be.
    """
    size, gpus = _SIZES[resources], _gpus() if resources == "gpu" else 0
    gpu = {GPU: str(gpus)} if gpus else {}
    return PodSpec(
        image=_setting("SORTLINE_IMAGE"),
        namespace=_setting("SORTLINE_NAMESPACE", "sortline"),
        account=_setting(_ACCOUNTS[duty], f"sortline-{duty}"),
        variables=_variables(),
        requests={**size, **gpu},
        # Processor time is not limited: a throttled training is slower and no safer.
        limits={**{name: value for name, value in size.items() if name != "cpu"}, **gpu},
        nodes=_nodes() if gpus else {},
        tolerated=(GPU,) if gpus else (),
        state_claim=os.environ.get("SORTLINE_STATE_CLAIM") or None,
        labels={
            "app.kubernetes.io/part-of": "sortline",
            "sortline/resources": resources,
            "sortline/duty": duty,
        },
    )
