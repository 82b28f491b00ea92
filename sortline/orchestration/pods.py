"""Pods for commands of `sortline`: the training image, the GPU's node, nothing kept.

A pod can be killed and run again at any time. What it keeps of a training between tries lies in
SORTLINE_STATE_CLAIM's volume; without one, in the pod's own scratch space, and a killed training
starts from its first epoch.
"""

from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from kubernetes.client import models as k8s

from sortline.orchestration.local_runner import Failed, ending_of
from sortline.orchestration.settings import SKIPPED
from sortline.orchestration.tasks import (
    COMMAND,
    SCRATCH,
    STATE,
    USER,
    Duty,
    pod_spec,
)

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
    for status in statuses:
        if status.name == container and status.state and status.state.terminated:
            return int(status.state.terminated.exit_code)
    return None


def _security() -> dict[str, Any]:
    pod = k8s.V1PodSecurityContext(
        run_as_non_root=True,
        run_as_user=USER,
        fs_group=USER,
        seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
    )
    container = k8s.V1SecurityContext(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        run_as_non_root=True,
        capabilities=k8s.V1Capabilities(drop=["ALL"]),
    )
    return {"security_context": pod, "container_security_context": container}


def pod_arguments(resources: str, duty: Duty = "trainer") -> dict[str, Any]:
    """What the operator needs for a pod of "cpu" or "gpu" with a duty; see `pod_spec`.

    Raises:
        ParamsError: the image is not named, or a setting is not what it should be.
    """
    spec = pod_spec(resources, duty)
    state: dict[str, Any] = {"empty_dir": k8s.V1EmptyDirVolumeSource()}
    if claim := spec.state_claim:
        source = k8s.V1PersistentVolumeClaimVolumeSource(claim_name=claim)
        state = {"persistent_volume_claim": source}
    node: dict[str, Any] = {}
    if spec.tolerated:
        tolerations = [
            k8s.V1Toleration(key=key, operator="Exists", effect="NoSchedule")
            for key in spec.tolerated
        ]
        node = {"node_selector": spec.nodes, "tolerations": tolerations}
    return {
        "image": spec.image,
        "namespace": spec.namespace,
        "service_account_name": spec.account,
        "cmds": [COMMAND],
        "env_vars": spec.variables,
        "container_resources": k8s.V1ResourceRequirements(
            requests=spec.requests, limits=spec.limits
        ),
        "volumes": [
            k8s.V1Volume(name="scratch", empty_dir=k8s.V1EmptyDirVolumeSource()),
            k8s.V1Volume(name="state", **state),
        ],
        "volume_mounts": [
            k8s.V1VolumeMount(name="scratch", mount_path=SCRATCH),
            k8s.V1VolumeMount(name="state", mount_path=STATE),
        ],
        "labels": spec.labels,
        "deferrable": True,
        "get_logs": True,
        "on_finish_action": "delete_pod",
        "skip_on_exit_code": SKIPPED,
        "startup_timeout_seconds": _STARTUP_S,
        "automount_service_account_token": False,
        **_security(),
        **node,
    }
