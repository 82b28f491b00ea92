"""What is true of every object that any overlay renders."""

import json
import re
from pathlib import Path

import pytest
import yaml
from helpers.rendered import INFRA, OVERLAYS, Object, pods, render

kubernetes_validate = pytest.importorskip("kubernetes_validate")

MINORS = ("1.35", "1.36", "1.37")
# The operator's own kinds: no schema of them is in any package.
WITHOUT_SCHEMA = {"ServiceMonitor", "PrometheusRule"}
SECRET = re.compile(
    r"(?<![a-z])(password|passwd|secret_?key|api_?key|token|private)[\"']?\s*[:=]\s*[\"']?[^\s\"'{$]",
    re.I,
)


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return render(request.param)


def _distinct() -> list[Object]:
    # Overlays share most objects, and the validator takes its time for each.
    found = {}
    for overlay in OVERLAYS:
        known = [each for each in render(overlay) if each["kind"] not in WITHOUT_SCHEMA]
        assert len(known) > 20
        for each in known:
            found[json.dumps(each, sort_keys=True)] = each
    return list(found.values())


@pytest.mark.parametrize("minor", MINORS)
def test_each_object_is_one_that_this_kubernetes_accepts(minor: str) -> None:
    for each in _distinct():
        kubernetes_validate.validate(each, minor, strict=True)


def test_the_validator_would_see_a_typing_error(objects: list[Object]) -> None:
    deployment = next(each for each in objects if each["kind"] == "Deployment")
    broken = yaml.safe_load(yaml.safe_dump(deployment).replace("topologyKey", "topologiKey"))
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, MINORS[-1], strict=True)


def test_what_has_no_schema_says_so_in_its_first_line() -> None:
    for path in sorted((INFRA / "k8s").rglob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        if any(f"\nkind: {kind}\n" in text for kind in WITHOUT_SCHEMA):
            assert text.startswith("# unchecked: "), path.name


def test_no_pod_breaks_the_restricted_standard(objects: list[Object]) -> None:
    for pod in pods(objects):
        spec = pod.spec
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True, pod.name
        assert context["runAsUser"] > 0, pod.name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, pod.name
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            assert not spec.get(key), pod.name
        for volume in spec["volumes"]:
            assert not volume.keys() & {"hostPath", "nfs"}, pod.name
        for container in pod.containers():
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, (pod.name, container["name"])
            assert own["capabilities"] == {"drop": ["ALL"]}, (pod.name, container["name"])
            assert own["readOnlyRootFilesystem"] is True, (pod.name, container["name"])
            assert not own.get("privileged"), (pod.name, container["name"])


def test_every_namespace_enforces_that_standard_on_what_others_bring(objects: list[Object]) -> None:
    spaces = {each["metadata"]["name"]: each for each in objects if each["kind"] == "Namespace"}
    used = {each["metadata"]["namespace"] for each in objects if "namespace" in each["metadata"]}
    assert used == set(spaces)
    for space in spaces.values():
        labels = space["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_token_of_the_cluster_is_mounted_where_nothing_talks_to_it(
    objects: list[Object],
) -> None:
    for pod in pods(objects):
        assert pod.spec["automountServiceAccountToken"] is False, pod.name
    accounts = [each for each in objects if each["kind"] == "ServiceAccount"]
    assert all(each["automountServiceAccountToken"] is False for each in accounts)


def test_every_container_has_requests_and_limits(objects: list[Object]) -> None:
    for pod in pods(objects):
        for container in pod.containers():
            for part in ("requests", "limits"):
                given = container["resources"][part]
                assert {"cpu", "memory", "ephemeral-storage"} <= given.keys(), container["name"]


def test_every_container_that_stays_has_three_probes(objects: list[Object]) -> None:
    for pod in pods(objects):
        if pod.runs_on:
            for container in pod.containers():
                probes = {key for key in container if key.endswith("Probe")}
                assert probes == {"startupProbe", "readinessProbe", "livenessProbe"}, container


def test_every_image_is_named_by_an_exact_version(objects: list[Object]) -> None:
    for pod in pods(objects):
        for container in pod.containers():
            tag = container["image"].rpartition(":")[2]
            assert re.fullmatch(r"\d+\.\d+\.\d+(-[a-z0-9.]+)?", tag), container["image"]


def test_every_volume_that_is_written_to_has_an_end(objects: list[Object]) -> None:
    for pod in pods(objects):
        for volume in pod.spec["volumes"]:
            if "emptyDir" in volume:
                assert "sizeLimit" in volume["emptyDir"], (pod.name, volume["name"])


def test_no_secret_is_in_a_config_map_or_in_the_repository(objects: list[Object]) -> None:
    assert not [each for each in objects if each["kind"] == "Secret"]
    for each in objects:
        if each["kind"] == "ConfigMap":
            for name, text in each["data"].items():
                assert not SECRET.search(text), f"{each['metadata']['name']}: {name}"


def test_the_search_for_secrets_finds_one() -> None:
    assert SECRET.search("password: hunter2")
    assert SECRET.search('aws_secret_key = "abc"')
    assert not SECRET.search("ssl_certificate_key tls/tls.key;")


def test_no_file_of_infra_holds_a_private_key_or_an_access_key() -> None:
    for path in [path for path in INFRA.rglob("*") if path.is_file()]:
        text = path.read_text(encoding="utf-8")
        assert "PRIVATE KEY" not in text, path
        assert not re.search(r"\bAKIA[0-9A-Z]{16}\b", text), path


def test_every_namespace_denies_by_default(objects: list[Object]) -> None:
    spaces = {each["metadata"]["name"] for each in objects if each["kind"] == "Namespace"}
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    denied = {
        each["metadata"]["namespace"]
        for each in objects
        if each["kind"] == "NetworkPolicy" and each["spec"] == deny
    }
    assert denied == spaces


def test_no_policy_lets_everybody_in(objects: list[Object]) -> None:
    for each in [each for each in objects if each["kind"] == "NetworkPolicy"]:
        for rule in each["spec"].get("ingress", []):
            assert rule["from"], each["metadata"]["name"]
            assert all(peer for peer in rule["from"]), each["metadata"]["name"]
        for rule in each["spec"].get("egress", []):
            assert rule["to"], each["metadata"]["name"]
            # The address at which a node tells pods its own credentials.
            for block in (peer.get("ipBlock", {}) for peer in rule["to"]):
                if block.get("cidr") == "0.0.0.0/0":
                    assert "169.254.0.0/16" in block["except"], each["metadata"]["name"]


def test_a_role_in_the_cluster_grants_no_more_than_starting_stages_takes(
    objects: list[Object],
) -> None:
    assert not [each for each in objects if each["kind"].startswith("ClusterRole")]
    rules = [rule for each in objects if each["kind"] == "Role" for rule in each["rules"]]
    granted = {(resource, verb) for rule in rules for resource in rule["resources"]
               for verb in rule["verbs"]}  # fmt: skip
    assert granted == {
        *(("pods", verb) for verb in ("create", "get", "list", "watch", "patch", "delete")),
        ("pods/log", "get"),
        ("events", "list"),
    }


def test_names_that_objects_use_of_each_other_exist(objects: list[Object]) -> None:
    there = {(each["kind"], each["metadata"]["name"]) for each in objects}
    for pod in pods(objects):
        assert ("ServiceAccount", pod.spec["serviceAccountName"]) in there, pod.name
        volumes = {volume["name"] for volume in pod.spec["volumes"]}
        for volume in pod.spec["volumes"]:
            sources = volume.get("projected", {}).get("sources", [volume])
            for name in [each["configMap"]["name"] for each in sources if "configMap" in each]:
                assert ("ConfigMap", name) in there, (pod.name, name)
        for container in pod.containers():
            for mount in container["volumeMounts"]:
                assert mount["name"] in volumes, (pod.name, mount)
                assert not Path(mount["mountPath"]).is_relative_to("/etc/proxy/tls")
