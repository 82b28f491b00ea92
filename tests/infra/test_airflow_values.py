"""The values for Airflow's chart: what can be said of them without the chart."""

import json
import string
from typing import Any

import pytest
import yaml
from helpers.locks import pinned
from helpers.rendered import INFRA, REPOSITORY, render
from packaging.utils import canonicalize_name

from sortline.core.settings import read_settings
from sortline.orchestration.settings import task_settings

FIVE = dict(
    line.split("=", 1)
    for line in (INFRA / "k8s" / "values" / "values.env").read_text(encoding="utf-8").split()
)
TEXT = (INFRA / "airflow" / "values.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    """As helm gets them: the five values put in."""
    body = "".join(line for line in TEXT.splitlines(keepends=True) if not line.startswith("#"))
    return dict(yaml.safe_load(string.Template(body).substitute(FIVE)))


def _environment(values: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in values["env"]}


def test_the_first_line_says_what_was_not_checked() -> None:
    assert TEXT.startswith("# unchecked: ")


def test_it_is_the_airflow_that_is_tested(values: dict[str, Any]) -> None:
    lock = pinned((REPOSITORY / "requirements.lock").read_text(encoding="utf-8"))
    assert values["airflowVersion"] == lock[canonicalize_name("apache-airflow")]
    assert values["executor"] == "KubernetesExecutor"


def test_the_dag_finds_all_that_it_needs(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in _environment(values).items():
        monkeypatch.setenv(name, value)
    settings = task_settings()
    assert read_settings().execution == "kubernetes"
    assert settings.repository == FIVE["GIT_REPOSITORY"]
    account = f"{FIVE['AWS_ACCOUNT']}-{FIVE['AWS_REGION']}"
    assert settings.dvc_remote == f"s3://sortline-{account}-cache/dvc"
    assert settings.releases == f"s3://sortline-{account}-models/releases"
    assert settings.prediction_log == f"s3://sortline-{account}-log/predictions"


def test_its_names_are_those_of_the_cluster(values: dict[str, Any]) -> None:
    environment, objects = _environment(values), render("gpu")
    namespaces = {each["metadata"]["name"] for each in objects if each["kind"] == "Namespace"}
    accounts = {each["metadata"]["name"] for each in objects if each["kind"] == "ServiceAccount"}
    assert environment["SORTLINE_NAMESPACE"] in namespaces
    for name in ("SORTLINE_SERVICE_ACCOUNT", "SORTLINE_PUBLISHER_ACCOUNT"):
        assert environment[name] in accounts
    assert values["config"]["kubernetes_executor"]["namespace"] in namespaces


def test_the_pools_are_those_that_tasks_wait_for(values: dict[str, Any]) -> None:
    data = yaml.safe_load(values["extraConfigMaps"]["airflow-pools"]["data"])
    pools = json.loads(data["pools.json"])
    text = (REPOSITORY / "sortline/orchestration/airflow_tasks.py").read_text("utf-8")
    for name, pool in pools.items():
        assert f'"{name}"' in text
        assert pool["slots"] > 0
        # A deferred task's pod still runs.
        assert pool["include_deferred"] is True
    assert len(pools) == 2


def test_no_secret_is_a_value(values: dict[str, Any]) -> None:
    for name in ("fernetKeySecretName", "jwtSecretName", "apiSecretKeySecretName"):
        assert values[name]
    assert not values.keys() & {"fernetKey", "jwtSecret", "apiSecretKey", "webserverSecretKey"}
    assert values["data"] == {"metadataSecretName": "airflow-database"}
    assert all(each.keys() == {"envName", "secretName", "secretKey"} for each in values["secret"])
    assert not [name for name in _environment(values) if "KEY" in name or "PASSWORD" in name]


def test_its_pods_may_run_in_a_restricted_namespace(values: dict[str, Any]) -> None:
    pod, container = values["securityContexts"]["pod"], values["securityContexts"]["container"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] == 50000
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_every_component_has_requests_and_limits(values: dict[str, Any]) -> None:
    for name in ("scheduler", "apiServer", "dagProcessor", "triggerer", "workers", "statsd"):
        resources = values[name]["resources"]
        assert resources["requests"].keys() == resources["limits"].keys() == {"cpu", "memory"}


def test_logs_outlive_the_pods_that_wrote_them(values: dict[str, Any]) -> None:
    logging = values["config"]["logging"]
    assert logging["remote_logging"] == "True"
    assert logging["remote_base_log_folder"].endswith("-cache/airflow-logs")
    role = f"arn:aws:iam::{FIVE['AWS_ACCOUNT']}:role/sortline-airflow"
    for name in ("scheduler", "apiServer", "triggerer", "workers"):
        annotations = values[name]["serviceAccount"]["annotations"]
        assert annotations == {"eks.amazonaws.com/role-arn": role}


def test_dags_come_from_git_and_can_import_their_package(values: dict[str, Any]) -> None:
    sync = values["dags"]["gitSync"]
    assert (sync["enabled"], sync["repo"], sync["subPath"]) == (
        True,
        FIVE["GIT_REPOSITORY"],
        "dags",
    )
    assert _environment(values)["PYTHONPATH"] == "/opt/airflow/dags/repo"
