"""What the model servers of an overlay promise."""

import shutil
from pathlib import Path

import pytest
import yaml
from helpers.rendered import (
    INFRA,
    OVERLAYS,
    REPOSITORY,
    SERVED,
    Object,
    memory_bytes,
    named,
    render,
    render_folder,
)

from sortline.orchestration.params import load

MIB = 1 << 20


def _deployment(overlay: str) -> Object:
    return named(render(overlay), "Deployment", "serving")


def _container(overlay: str, name: str) -> Object:
    spec = _deployment(overlay)["spec"]["template"]["spec"]
    both = [*spec["containers"], *spec["initContainers"]]
    return next(dict(each) for each in both if each["name"] == name)


def _flags(overlay: str) -> dict[str, str]:
    pairs = [
        flag.removeprefix("--").partition("=") for flag in _container(overlay, "server")["args"]
    ]
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_server_is_the_one_that_releases_are_checked_for(overlay: str) -> None:
    wanted = load(REPOSITORY).publish.serving_version
    tag = _container(overlay, "server")["image"].rpartition(":")[2]
    assert tag == (f"{wanted}-gpu" if overlay == "gpu" else wanted)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_reload_cannot_be_reached_over_the_network(overlay: str) -> None:
    flags, server = _flags(overlay), _container(overlay, "server")
    assert flags["port"] == "0"
    assert [port["containerPort"] for port in server["ports"]] == [int(flags["rest_api_port"])]
    assert f"server unix:{flags['grpc_socket_path']};" in _nginx(overlay)


def _nginx(overlay: str) -> str:
    return str(named(render(overlay), "ConfigMap", "proxy-config")["data"]["nginx.conf"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_is_ready_only_while_the_stable_model_can_answer(overlay: str) -> None:
    name = load(REPOSITORY).promote.model_name
    server = _container(overlay, "server")
    state = f"/v1/models/{name}/labels/stable/metadata"
    assert server["startupProbe"]["httpGet"]["path"] == state
    assert server["readinessProbe"]["httpGet"]["path"] == state
    assert server["livenessProbe"]["httpGet"]["path"] == f"/v1/models/{name}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_two_of_the_largest_models_that_the_gate_lets_through_fit(overlay: str) -> None:
    largest = load(REPOSITORY).gate.asked["max_size_mb"]
    assert largest is not None
    limit = memory_bytes(_container(overlay, "server")["resources"]["limits"]["memory"])
    assert limit >= (1024 + 2 * 4 * largest) * MIB


@pytest.mark.parametrize("overlay", SERVED)
def test_the_volume_holds_every_version_that_can_be_on_it_at_once(overlay: str) -> None:
    params = load(REPOSITORY)
    volumes = _deployment(overlay)["spec"]["template"]["spec"]["volumes"]
    models = next(each for each in volumes if each["name"] == "models")
    # Stable, canary and those kept loaded, of this file and of the one before it; one on its way.
    versions = 2 * (2 + params.promote.keep_loaded) + 1
    assert (
        memory_bytes(models["emptyDir"]["sizeLimit"])
        >= versions * params.gate.asked["max_size_mb"] * MIB
    )


@pytest.mark.parametrize("overlay", SERVED)
def test_no_server_starts_before_the_store_was_read(overlay: str) -> None:
    sync = _container(overlay, "sync")
    assert sync["restartPolicy"] == "Always"
    assert sync["startupProbe"]["httpGet"]["port"] == "sync-metrics"
    assert _flags(overlay)["model_config_file"] == "/models/models.config"
    mounts = {each["mountPath"]: each for each in _container(overlay, "server")["volumeMounts"]}
    assert mounts["/models"]["readOnly"] is True


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_that_is_told_to_go_lets_its_calls_end(overlay: str) -> None:
    spec = _deployment(overlay)["spec"]["template"]["spec"]

    def pause(name: str) -> int:
        return int(_container(overlay, name)["lifecycle"]["preStop"]["sleep"]["seconds"])

    assert pause("proxy") < pause("server") < spec["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_replicas_are_spread_and_a_drain_leaves_one(overlay: str) -> None:
    objects, deployment = render(overlay), _deployment(overlay)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    budget = named(objects, "PodDisruptionBudget", "serving")["spec"]
    keys = {each["topologyKey"] for each in spread}
    assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    for each in [*(each["labelSelector"] for each in spread), budget["selector"]]:
        assert each["matchLabels"].items() <= labels.items()
    assert budget["minAvailable"] == 1


def test_replicas_follow_what_runs_out_first() -> None:
    cpu = named(render("cpu"), "HorizontalPodAutoscaler", "serving")["spec"]
    gpu = named(render("gpu"), "HorizontalPodAutoscaler", "serving")["spec"]
    assert cpu["minReplicas"] == gpu["minReplicas"] == 2
    assert [each["type"] for each in cpu["metrics"]] == ["ContainerResource"]
    assert cpu["metrics"][0]["containerResource"]["container"] == "server"
    assert [each["pods"]["metric"]["name"] for each in gpu["metrics"]] == [
        "sortline_batch_wait_seconds"
    ]


def test_a_gpu_replica_gets_a_gpu_and_others_do_not_need_one() -> None:
    for overlay in OVERLAYS:
        server = _container(overlay, "server")
        spec = _deployment(overlay)["spec"]["template"]["spec"]
        wanted = {"1"} if overlay == "gpu" else {None}
        parts = ("requests", "limits")
        assert {server["resources"][part].get("nvidia.com/gpu") for part in parts} == wanted
        assert ("nodeSelector" in spec) == ("tolerations" in spec) == (overlay == "gpu")


@pytest.mark.parametrize("overlay", SERVED)
def test_prometheus_finds_both_pages_of_metrics(overlay: str) -> None:
    objects = render(overlay)
    monitor = named(objects, "ServiceMonitor", "serving")["spec"]
    service = named(objects, "Service", "serving-metrics")
    ports = {each["name"] for each in service["spec"]["ports"]}
    wanted = monitor["selector"]["matchLabels"]
    assert wanted.items() <= service["metadata"]["labels"].items()
    assert {each["port"] for each in monitor["endpoints"]} == ports


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_clients_see_every_replica_and_only_the_proxy(overlay: str) -> None:
    services = {
        each["metadata"]["name"]: each["spec"]
        for each in render(overlay)
        if each["kind"] == "Service"
    }
    assert services.keys() == {"serving", "serving-metrics"}
    assert services["serving"]["clusterIP"] == "None"
    assert [each["targetPort"] for each in services["serving"]["ports"]] == ["grpc"]


def test_the_dev_overlay_needs_no_operator() -> None:
    assert not [each for each in render("dev") if "monitoring.coreos.com" in each["apiVersion"]]


def test_the_five_values_reach_every_place_that_they_belong_to(tmp_path: Path) -> None:
    copied = tmp_path / "k8s"
    shutil.copytree(INFRA / "k8s", copied)
    values = copied / "values" / "values.env"
    before = dict(line.split("=", 1) for line in values.read_text(encoding="utf-8").split())
    assert len(before) == 5
    values.write_text(
        "REGISTRY=images.mine.test\nAWS_ACCOUNT=123456789012\nAWS_REGION=us-west-2\n"
        "OIDC_ISSUER=oidc.mine.test/id/X\nGIT_REPOSITORY=https://git.mine.test/s.git\n",
        encoding="utf-8",
    )
    objects = render_folder(copied / "overlays" / "gpu")
    left = yaml.safe_dump_all(objects)
    for name, value in before.items():
        if name != "OIDC_ISSUER":
            assert value not in left, name
    assert left.count("arn:aws:iam::123456789012:role/sortline-") == 6
    assert "images.mine.test/sortline-client:" in left
