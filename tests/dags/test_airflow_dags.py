"""The DAG files: the graph is dvc.yaml's, parsing is pure, every task can be helped at night."""

import re
import subprocess
import sys
from typing import Any

import kubernetes_validate
import pytest
from helpers.parsed_dags import probed
from helpers.workspaces import ROOT, environment

STEPS = (
    "validate",
    "augment",
    "warm_start",
    "train_phase1",
    "fine_tune_phase2",
    "export",
    "evaluate",
    "gate",
)
Parsed = dict[str, Any]


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The DAG files with tasks as local processes, and features in three parts."""
    folder = tmp_path_factory.mktemp("airflow-local")
    return probed(folder, SORTLINE_EXTRACTION_PARTS="3")


@pytest.fixture(scope="module")
def parsed_as_pods(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The DAG files with tasks as pods."""
    folder = tmp_path_factory.mktemp("airflow-pods")
    return probed(
        folder,
        SORTLINE_EXECUTION="kubernetes",
        SORTLINE_EXTRACTION_PARTS="3",
        SORTLINE_IMAGE="registry.example/sortline-train:1.2.3",
        SORTLINE_REPOSITORY="https://git.example/waste.git",
        SORTLINE_DVC_REMOTE="s3://bucket/dvc",
        SORTLINE_STATE_CLAIM="sortline-state",
    )


def _dags(parsed: Parsed) -> dict[str, Parsed]:
    return {name: dag for file in parsed["files"].values() for name, dag in file["dags"].items()}


def _retraining(parsed: Parsed) -> Parsed:
    tasks: Parsed = _dags(parsed)["waste_retraining"]["tasks"]
    return tasks


def _edges_of_dvc() -> set[tuple[str, str]]:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "dag", "--dot"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.findall(r'"([^"]+)" -> "([^"]+)"', done.stdout)
    return {(above, below) for above, below in found if above in STEPS}


def _contracted(tasks: Parsed, start: str) -> set[str]:
    """Stages that follow a stage directly, or through tasks that are no stages."""
    found, waiting = set[str](), list(tasks[start]["downstream"])
    while waiting:
        name = waiting.pop()
        if name in STEPS:
            found.add(name)
        else:
            waiting += tasks[name]["downstream"]
    return found


def test_edges_between_stages_are_those_of_dvc(parsed: Parsed) -> None:
    tasks = _retraining(parsed)
    found = {(above, below) for above in STEPS for below in _contracted(tasks, above)}
    assert found == _edges_of_dvc()


def test_pods_have_the_same_graph_as_local_tasks(parsed: Parsed, parsed_as_pods: Parsed) -> None:
    local, pods = _retraining(parsed), _retraining(parsed_as_pods)
    assert {n: t["downstream"] for n, t in local.items()} == {
        n: t["downstream"] for n, t in pods.items()
    }


def test_parsing_imports_nothing_heavy_and_touches_nothing(parsed: Parsed) -> None:
    assert parsed["heavy"] == []
    assert parsed["events"] == []


def test_parsing_takes_less_than_two_seconds_of_cpu(parsed: Parsed) -> None:
    assert {
        name: file["cpu_s"] for name, file in parsed["files"].items() if file["cpu_s"] > 2
    } == {}


def test_each_file_has_one_dag_with_triage(parsed: Parsed) -> None:
    for name, file in parsed["files"].items():
        assert len(file["dags"]) == 1, name
    for name, dag in _dags(parsed).items():
        assert "What to do when it fails" in dag["doc"], name
        assert dag["catchup"] is False, name
        assert dag["max_active_runs"] == 1, name


def test_every_task_says_what_to_do_and_when_it_has_hung(parsed: Parsed) -> None:
    for dag in _dags(parsed).values():
        for name, task in dag["tasks"].items():
            assert "When it fails" in task["doc"], name
            assert task["timeout_s"], name
            assert 1 <= task["retries"] <= 3, name
            assert task["pool"] in ("sortline_cpu", "sortline_gpu"), name


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [str(value)]


@pytest.mark.parametrize("how", ["scheduled", "manual", "asset"])
def test_templates_render_whatever_started_the_run(parsed: Parsed, how: str) -> None:
    for dag in _dags(parsed).values():
        for name, task in dag["tasks"].items():
            texts = _texts(task["rendered"][how])
            assert not [text for text in texts if "{{" in text or "{%" in text], name
            assert any(f"{how}__2026" in text for text in texts) or name == "variants", name


def test_the_drift_alert_is_named_in_the_run_that_it_starts(parsed: Parsed) -> None:
    texts = _texts(_retraining(parsed)["resolve_revision"]["rendered"]["asset"])
    assert "asset_triggered sortline_drift" in texts


def test_new_data_and_a_drift_wake_the_retraining(parsed: Parsed) -> None:
    outlets = {
        name: task["outlets"]
        for dag in _dags(parsed).values()
        for name, task in dag["tasks"].items()
        if task["outlets"]
    }
    assert outlets == {"look": ["sortline_dataset"], "look_for_drift": ["sortline_drift"]}


def test_a_notification_is_sent_and_a_record_written_on_every_ending(parsed: Parsed) -> None:
    tasks = _retraining(parsed)
    assert tasks["record"]["rule"].endswith(("ALL_DONE", "all_done"))
    assert tasks["notify"]["teardown"] is True
    assert tasks["notify"]["downstream"] == []


def test_extraction_is_mapped_over_parts(parsed: Parsed) -> None:
    features = _retraining(parsed)["features"]
    assert features["mapped"] is True
    texts = _texts(features["rendered"]["manual"])
    assert [text for text in texts if "/" in text] == ["1/3", "2/3", "3/3"]


def _pod(parsed_as_pods: Parsed, name: str) -> Parsed:
    pod: Parsed = _retraining(parsed_as_pods)[name]["pod"]
    return pod


@pytest.mark.parametrize("name", ["resolve_revision", "validate", "train_phase1", "publish"])
@pytest.mark.parametrize("version", ["1.30", "1.31", "1.32"])
def test_pods_are_valid_for_kubernetes(parsed_as_pods: Parsed, name: str, version: str) -> None:
    kubernetes_validate.validate(_pod(parsed_as_pods, name), version, strict=True)


def test_a_gpu_stage_gets_the_gpu_and_its_node_and_a_cpu_stage_does_not(
    parsed_as_pods: Parsed,
) -> None:
    gpu, cpu = _pod(parsed_as_pods, "train_phase1")["spec"], _pod(parsed_as_pods, "gate")["spec"]
    assert gpu["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert gpu["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert gpu["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert "nvidia.com/gpu" not in cpu["containers"][0]["resources"]["limits"]
    assert not cpu.get("nodeSelector")


def test_what_releases_runs_with_the_publishers_rights_and_nothing_else_does(
    parsed_as_pods: Parsed,
) -> None:
    pods = {name: task["pod"] for name, task in _retraining(parsed_as_pods).items() if task["pod"]}
    accounts = {name: pod["spec"]["serviceAccountName"] for name, pod in pods.items()}
    publishing = {name for name, account in accounts.items() if account == "sortline-publisher"}
    assert publishing == {"publish", "promote"}
    assert set(accounts.values()) == {"sortline-publisher", "sortline-trainer"}


def test_a_pod_runs_the_very_command_of_a_local_task(
    parsed: Parsed, parsed_as_pods: Parsed
) -> None:
    for name, task in _retraining(parsed_as_pods).items():
        if task["pod"]:
            local = _retraining(parsed)[name]["rendered"]["manual"]["op_args"][0]
            assert task["rendered"]["manual"]["arguments"] == local
            assert task["pod"]["spec"]["containers"][0]["command"] == ["sortline"]


def test_pods_are_restricted(parsed_as_pods: Parsed) -> None:
    for task in _retraining(parsed_as_pods).values():
        if task["pod"]:
            spec = task["pod"]["spec"]
            container = spec["containers"][0]
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert not container["image"].endswith(":latest")


def test_training_state_survives_a_pod_where_a_claim_is_named(parsed_as_pods: Parsed) -> None:
    volumes = {v["name"]: v for v in _pod(parsed_as_pods, "train_phase1")["spec"]["volumes"]}
    assert volumes["state"]["persistentVolumeClaim"] == {"claimName": "sortline-state"}
