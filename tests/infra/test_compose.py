"""The laptop stack: what it names exists, and nothing of it is open to the network."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.rendered import INFRA, named, render

from sortline.client.client_metrics import ClientMetrics
from sortline.releases.sync import Figures

COMPOSE: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DASHBOARD: dict[str, Any] = json.loads(
    (INFRA / "monitoring" / "dashboards" / "sortline.json").read_text(encoding="utf-8")
)


def test_compose_reads_the_file() -> None:
    docker = shutil.which("docker") or "docker"
    try:
        subprocess.run([docker, "compose", "version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("`docker compose` is not installed here")
    done = subprocess.run(
        [docker, "compose", "-f", str(INFRA / "compose.yaml"), "config", "--quiet"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_stack_has_every_part() -> None:
    parts = {
        "postgres",
        "s3",
        "airflow-api",
        "airflow-scheduler",
        "serving",
        "prometheus",
        "grafana",
    }
    assert parts <= SERVICES.keys()


def test_every_port_is_this_machines_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_image_is_named_by_an_exact_version() -> None:
    for name, service in SERVICES.items():
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-[a-z]+)?$", service["image"]), name


def test_every_file_and_volume_that_is_mounted_exists() -> None:
    for name, service in SERVICES.items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                if source != "../dags":
                    assert (INFRA / source).exists(), (name, source)
            else:
                assert source in COMPOSE["volumes"], (name, source)
        if build := service.get("build"):
            assert (INFRA / build["context"] / build["dockerfile"]).is_file(), name


def test_what_a_service_waits_for_can_come_true() -> None:
    for name, service in SERVICES.items():
        waits = service.get("depends_on", {})
        for other, how in waits.items() if isinstance(waits, dict) else ():
            assert other in SERVICES, (name, other)
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], (name, other)


def test_the_server_is_started_as_in_the_cluster_but_for_its_doors() -> None:
    spec = named(render("cpu"), "Deployment", "serving")["spec"]["template"]["spec"]
    server = next(each for each in spec["containers"] if each["name"] == "server")
    assert SERVICES["serving"]["image"] == server["image"]

    def flags(arguments: list[str]) -> dict[str, str]:
        return dict(each.removeprefix("--").split("=", 1) for each in arguments)

    ours, theirs = flags(SERVICES["serving"]["command"]), flags(server["args"])
    differs = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    assert differs == {
        "port", "grpc_socket_path", "model_config_file_poll_wait_seconds",
        "file_system_poll_wait_seconds",
    }  # fmt: skip


def _promtool(*arguments: str) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed here")
    folder = INFRA / "monitoring"
    done = subprocess.run(
        ["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_reads_its_configuration_and_its_rules() -> None:
    _promtool("check", "config", "--syntax-only", "prometheus.yml")
    _promtool("check", "rules", "rules.yaml")


def test_alerts_fire_when_they_should_and_only_then() -> None:
    _promtool("test", "rules", "rules_test.yaml", "drift_test.yaml")


def test_the_cluster_has_the_same_rules_as_the_laptop() -> None:
    text = (INFRA / "monitoring" / "rules.yaml").read_text(encoding="utf-8")
    rules = named(render("gpu"), "PrometheusRule", "serving")
    assert rules["spec"]["groups"] == yaml.safe_load(text)["groups"]


def _expressions() -> list[str]:
    rules = yaml.safe_load((INFRA / "monitoring" / "rules.yaml").read_text(encoding="utf-8"))
    asked = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    shown = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [*asked, *shown]


def _exported() -> set[str]:
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    ClientMetrics(registry)
    Figures(registry)
    names = {
        sample
        for metric in registry.collect()
        for sample in (metric.name, f"{metric.name}_total", f"{metric.name}_bucket")
    }
    rules = yaml.safe_load((INFRA / "monitoring" / "rules.yaml").read_text(encoding="utf-8"))
    recorded = {rule["record"] for g in rules["groups"] for rule in g["rules"] if "record" in rule}
    return names | recorded


@pytest.mark.parametrize("expression", _expressions())
def test_every_metric_that_is_asked_for_is_one_that_somebody_exports(expression: str) -> None:
    for name in re.findall(r"(?<![:\w])sortline[_:][\w:]+", expression):
        assert name in _exported(), name


def test_the_dashboard_shows_what_was_promised() -> None:
    titles = " ".join(panel["title"] for panel in DASHBOARD["panels"]).lower()
    for word in ("requests", "latency", "classes", "confidence", "drift", "releases"):
        assert word in titles


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_grafana_finds_its_files() -> None:
    for file in ("datasources.yaml", "dashboards.yaml"):
        found = yaml.safe_load(
            (INFRA / "monitoring" / "grafana" / file).read_text(encoding="utf-8")
        )
        assert found["apiVersion"] == 1
    assert Path(INFRA / "monitoring" / "dashboards").is_dir()
