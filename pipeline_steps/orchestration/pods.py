"""Pods for commands of `sortline`: the training image, the GPU's node, nothing kept.

A pod can be killed and run again at any time. What it keeps of a training between tries lies in
SORTLINE_STATE_CLAIM's volume; without one, in the pod's own scratch space, and a killed training
starts from its first epoch.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from kubernetes.client import models as k8s

from pipeline_steps.errors import ParamsError
from pipeline_steps.orchestration.local_runner import Failed, ending_of
from pipeline_steps.orchestration.settings import FORWARDED, SKIPPED

_SCRATCH, _STATE = "/scratch", "/state"
_SIZES = {
    "cpu": {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "20Gi"},
    "gpu": {"cpu": "4", "memory": "16Gi", "ephemeral-storage": "40Gi"},
}
_USER = 10001
_STARTUP_S = 1800


class PodOfCommand(KubernetesPodOperator):
    """A pod whose exit status decides whether it is tried again."""

    def cleanup(self, pod: Any, remote_pod: Any, *args: Any, **kwargs: Any) -> None:
        """As the operator's, but a refusal or a defect of ours is not tried again."""
        try:
            super().cleanup(pod, remote_pod, *args, **kwargs)
        except AirflowException as error:
            status = exit_status(remote_pod, self.base_container_name)
            if status is not None and isinstance(ending_of(status, ""), Failed):
                raise AirflowFailException(str(error)) from error
            raise


def exit_status(pod: Any, container: str) -> int | None:
    """Exit status of a pod's container; None when it has none."""
    statuses = (pod.status.container_statuses if pod and pod.status else None) or []
    for each in statuses:
        if each.name == container and each.state and each.state.terminated:
            return int(each.state.terminated.exit_code)
    return None


def _setting(name: str, default: str | None = None) -> str:
    value = os.environ.get(name) or default
    if value is None:
        raise ParamsError(
            f"SORTLINE_EXECUTION is kubernetes, and {name} is not set. Set it where the DAGs are"
            " parsed."
        )
    return value


def _node(resources: str) -> dict[str, Any]:
    if resources != "gpu":
        return {}
    text = _setting("SORTLINE_GPU_NODES", '{"nvidia.com/gpu.present": "true"}')
    selector: Mapping[str, str] = json.loads(text)
    toleration = k8s.V1Toleration(key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")
    return {"node_selector": dict(selector), "tolerations": [toleration]}


def _resources(resources: str) -> k8s.V1ResourceRequirements:
    size = _SIZES[resources]
    gpu = {"nvidia.com/gpu": "1"} if resources == "gpu" else {}
    # Processor time is not limited: a throttled training is slower and no safer.
    limits = {name: value for name, value in size.items() if name != "cpu"}
    return k8s.V1ResourceRequirements(requests={**size, **gpu}, limits={**limits, **gpu})


def _volumes() -> list[k8s.V1Volume]:
    claim = os.environ.get("SORTLINE_STATE_CLAIM")
    source = k8s.V1PersistentVolumeClaimVolumeSource(claim_name=claim) if claim else None
    scratch = k8s.V1EmptyDirVolumeSource()
    return [
        k8s.V1Volume(name="scratch", empty_dir=scratch),
        k8s.V1Volume(name="state", persistent_volume_claim=source)
        if source
        else k8s.V1Volume(name="state", empty_dir=k8s.V1EmptyDirVolumeSource()),
    ]


def _environment() -> dict[str, str]:
    forwarded = {name: os.environ[name] for name in FORWARDED if os.environ.get(name)}
    own = {
        "HOME": _SCRATCH,
        "TMPDIR": _SCRATCH,
        "SORTLINE_WORK_DIR": f"{_SCRATCH}/work",
        "SORTLINE_STATE_DIR": _STATE,
        "PYTHONUNBUFFERED": "1",
    }
    return {**forwarded, **own}


def _security() -> dict[str, Any]:
    pod = k8s.V1PodSecurityContext(
        run_as_non_root=True,
        run_as_user=_USER,
        fs_group=_USER,
        seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
    )
    container = k8s.V1SecurityContext(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        run_as_non_root=True,
        capabilities=k8s.V1Capabilities(drop=["ALL"]),
    )
    return {"security_context": pod, "container_security_context": container}


def pod_arguments(resources: str) -> dict[str, Any]:
    """What the operator needs for a pod of "cpu" or "gpu".

    Reads SORTLINE_IMAGE, SORTLINE_NAMESPACE, SORTLINE_SERVICE_ACCOUNT, SORTLINE_GPU_NODES (JSON:
    labels of nodes), SORTLINE_STATE_CLAIM (a persistent volume claim for training state).

    Raises:
        ParamsError: the image is not named.
    """
    return {
        "image": _setting("SORTLINE_IMAGE"),
        "namespace": _setting("SORTLINE_NAMESPACE", "sortline"),
        "service_account_name": _setting("SORTLINE_SERVICE_ACCOUNT", "sortline-trainer"),
        "cmds": ["sortline"],
        "env_vars": _environment(),
        "container_resources": _resources(resources),
        "volumes": _volumes(),
        "volume_mounts": [
            k8s.V1VolumeMount(name="scratch", mount_path=_SCRATCH),
            k8s.V1VolumeMount(name="state", mount_path=_STATE),
        ],
        "labels": {"app.kubernetes.io/part-of": "sortline", "sortline/resources": resources},
        "deferrable": True,
        "get_logs": True,
        "on_finish_action": "delete_pod",
        "skip_on_exit_code": SKIPPED,
        "startup_timeout_seconds": _STARTUP_S,
        "automount_service_account_token": False,
        **_security(),
        **_node(resources),
    }
