"""The pods that the DAG starts, in the cluster that infra/ describes."""

from typing import Any

import pytest
import yaml
from helpers.rendered import REPOSITORY, Object, named, render

pytest.importorskip("airflow.providers.cncf.kubernetes")
# Airflow's operators take a while to import.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pods() -> dict[str, dict[str, Any]]:
    """What the operator is given for each kind of stage that dvc.yaml has."""
    from sortline.orchestration.pods import pod_arguments

    graph = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))
    metas = [stage["meta"] for stage in graph["stages"].values()]
    kinds = {meta["resources"] for meta in metas if meta.get("task", True)}
    assert kinds == {"cpu", "gpu"}
    values = yaml.safe_load((REPOSITORY / "infra/airflow/values.yaml").read_text(encoding="utf-8"))
    with pytest.MonkeyPatch.context() as patch:
        for each in values["env"]:
            patch.setenv(each["name"], each["value"])
        found = {kind: pod_arguments(kind) for kind in kinds}
        return {**found, "publisher": pod_arguments("cpu", "publisher")}


def test_stages_that_ask_for_a_gpu_run_where_one_is(pods: dict[str, dict[str, Any]]) -> None:
    gpu, cpu = pods["gpu"], pods["cpu"]
    assert gpu["node_selector"] == {"nvidia.com/gpu.present": "true"}
    assert [each.key for each in gpu["tolerations"]] == ["nvidia.com/gpu"]
    assert gpu["container_resources"].limits["nvidia.com/gpu"] == "1"
    assert not cpu.keys() & {"node_selector", "tolerations"}
    assert "nvidia.com/gpu" not in cpu["container_resources"].limits


@pytest.mark.parametrize("kind", ["cpu", "gpu", "publisher"])
def test_a_stages_pod_keeps_to_the_standard_of_its_namespace(
    pods: dict[str, dict[str, Any]], kind: str
) -> None:
    pod, container = pods[kind]["security_context"], pods[kind]["container_security_context"]
    assert pod.run_as_non_root is True
    assert pod.seccomp_profile.type == "RuntimeDefault"
    assert container.allow_privilege_escalation is False
    assert container.read_only_root_filesystem is True
    assert container.capabilities.drop == ["ALL"]
    resources = pods[kind]["container_resources"]
    for part in (resources.requests, resources.limits):
        assert {"memory", "ephemeral-storage"} <= part.keys()


@pytest.mark.parametrize("kind", ["cpu", "gpu", "publisher"])
def test_a_stages_pod_may_reach_what_it_needs(pods: dict[str, dict[str, Any]], kind: str) -> None:
    objects, pod = render("gpu"), pods[kind]
    outwards = named(objects, "NetworkPolicy", "commands-outwards")
    assert outwards["metadata"]["namespace"] == pod["namespace"]
    assert outwards["spec"]["podSelector"]["matchLabels"].items() <= pod["labels"].items()
    assert pod["service_account_name"] in _accounts(objects, pod["namespace"])


def test_what_releases_has_an_identity_of_its_own(pods: dict[str, dict[str, Any]]) -> None:
    assert {pods[kind]["service_account_name"] for kind in ("cpu", "gpu")} == {"trainer"}
    assert pods["publisher"]["service_account_name"] == "publisher"


def test_model_servers_let_pods_that_release_in_and_no_others(
    pods: dict[str, dict[str, Any]],
) -> None:
    objects = render("gpu")
    outwards = named(objects, "NetworkPolicy", "publishers-to-servers")["spec"]["podSelector"]
    (rule,) = named(objects, "NetworkPolicy", "clients-to-proxy")["spec"]["ingress"]
    inwards = rule["from"][1]["podSelector"]
    for selector in (outwards["matchLabels"], inwards["matchLabels"]):
        chosen = {kind for kind, pod in pods.items() if selector.items() <= pod["labels"].items()}
        assert chosen == {"publisher"}


def _accounts(objects: list[Object], namespace: str) -> set[str]:
    found = [each["metadata"] for each in objects if each["kind"] == "ServiceAccount"]
    return {each["name"] for each in found if each["namespace"] == namespace}
