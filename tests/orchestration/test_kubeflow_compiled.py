"""The compiled Kubeflow pipeline has the graph of `dvc dag`, and its commands do the work."""

import http.server
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from helpers.compiled_pipeline import Compiled
from helpers.pod_machine import Pod
from helpers.workspaces import ROOT, call

from sortline.core.errors import UnreachableError
from sortline.core.graph import read_graph
from sortline.orchestration.kubeflow import (
    Recurring,
    compile_pipeline,
    kfp_environment,
    schedule,
    task_name,
)

pytest_plugins = ["helpers.pod_fixtures"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
_MADE = ("POST", "recurringruns")
_IMAGE = "registry.example/sortline-train:1.2.3"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    try:
        kfp_environment(ROOT)
    except UnreachableError as error:
        pytest.skip(f"kfp's environment cannot be made here: {error}")
    path = tmp_path_factory.mktemp("kubeflow") / "pipeline.yaml"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SORTLINE_IMAGE", _IMAGE)
        patched.setenv("SORTLINE_STATE_CLAIM", "sortline-state")
        compile_pipeline(ROOT, path)
    return Compiled(path)


def test_its_edges_are_those_of_dvc(compiled: Compiled) -> None:
    shown = call(ROOT, "python", "-m", "dvc", "dag", "--dot").stdout
    stages = set(read_graph(ROOT))
    wanted = {
        (task_name(above), task_name(below))
        for above, below in re.findall(r'"([^"]+)" -> "([^"]+)"', shown)
        if above in stages
    }
    names = set(map(task_name, stages))
    found = {(a, b) for a, b in compiled.edges() if a in names}
    assert len(found) > len(stages)
    assert found == wanted


def test_dvc_decides_what_is_done_again(compiled: Compiled) -> None:
    caching = [
        task["cachingOptions"]
        for tasks in compiled.graphs()
        for task in tasks.values()
        if "cachingOptions" in task
    ]
    assert len(caching) == len(compiled.containers())
    assert not any(each.get("enableCache") for each in caching)


def test_a_gpu_stage_gets_the_gpu_its_node_and_its_time(compiled: Compiled) -> None:
    for name, stage in read_graph(ROOT).items():
        container = compiled.containers()[task_name(name)]
        pod = compiled.pods[f"exec-{task_name(name)}"]
        accelerator = container["resources"].get("accelerator", {})
        on_gpu = stage.resources == "gpu"
        assert (accelerator.get("resourceType") == "nvidia.com/gpu") is on_gpu
        assert (accelerator.get("resourceCount") == "1") is on_gpu
        assert ("nodeSelector" in pod) is ("tolerations" in pod) is on_gpu
        assert int(pod["activeDeadlineSeconds"]) == stage.timeout_s
        assert pod["pvcMount"][0]["mountPath"] == "/state"
        assert pod["securityContext"] == {"runAsNonRoot": True, "runAsUser": "10001"}


def test_no_command_goes_through_a_shell(compiled: Compiled) -> None:
    for container in compiled.containers().values():
        assert container["command"] == ["sortline"]
        assert container["image"] == _IMAGE


class _Kubeflow(http.server.BaseHTTPRequestHandler):
    """Answers as the API of Kubeflow Pipelines does, and keeps what was asked."""

    asked: ClassVar[list[tuple[str, str, Any]]] = []
    schedules: ClassVar[dict[str, str]] = {}

    def _answer(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(text or b"null")
        path = self.path.partition("?")[0].removeprefix("/apis/v2beta1/")
        self.asked.append((self.command, path, body))
        answer: dict[str, Any] = {}
        if self.command == "DELETE":
            del self.schedules[path.removeprefix("recurringruns/")]
        elif (self.command, path) == ("POST", "recurringruns"):
            answer = {"recurring_run_id": f"schedule-{len(self.asked)}", **body}
            self.schedules[answer["recurring_run_id"]] = body["display_name"]
        elif path == "recurringruns":
            runs = [{"recurring_run_id": k, "display_name": v} for k, v in self.schedules.items()]
            answer = {"recurringRuns": runs}
        elif (self.command, path) == ("POST", "experiments"):
            answer = {"experiment_id": "experiment-1", **body}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 (the server's names)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def kubeflow() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Kubeflow) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_scheduling_it_twice_leaves_one_schedule(
    compiled: Compiled, kubeflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SORTLINE_IMAGE", _IMAGE)
    monkeypatch.setenv("SORTLINE_SERVICE_ACCOUNT", "trainer")
    schedule(ROOT, Recurring(kubeflow, "0 0 3 * * 1", "fast"))
    second = schedule(ROOT, Recurring(kubeflow, "0 0 4 * * 1", "fast"))
    assert list(_Kubeflow.schedules) == [second]
    made = [body for command, path, body in _Kubeflow.asked if (command, path) == _MADE]
    assert [each["trigger"]["cron_schedule"]["cron"] for each in made] == [
        "0 0 3 * * 1",
        "0 0 4 * * 1",
    ]
    last = made[-1]
    assert last["runtime_config"]["parameters"]["recipe"] == "fast"
    assert (last["service_account"], last["no_catchup"]) == ("trainer", True)
    assert str(last["max_concurrency"]) == "1"
    assert last["pipeline_spec"]["pipeline_spec"]["root"] == compiled.spec["root"]
    assert "platform_spec" in last["pipeline_spec"], "where nodes, volumes and timeouts are"


def test_its_commands_in_their_order_train_and_gate_a_model(
    compiled: Compiled, pod: Pod, pod_storage: dict[str, str], tmp_path: Path
) -> None:
    said: dict[str, str] = {}

    def run(name: str, words: list[str]) -> None:
        said[name] = pod.run(words[1:])

    changed = {"git_revision": "main", "recipe": "", "data_revision": "", "champion": "none"}
    compiled.run(changed, "job-1", tmp_path, run)
    stages = list(map(task_name, read_graph(ROOT)))
    assert sorted(said) == sorted([*stages, "resolve-revision", "record"])
    assert next(iter(said)) == "resolve-revision"
    assert list(said)[-1] == "record"
    for name in stages:
        assert f"Running stage '{name.replace('-', '_')}'" in said[name]
    planned = said["resolve-revision"]
    plan = json.loads(planned[planned.index("{") :])
    assert plan["trigger"] == "kubeflow"
    assert "job-1" in said["record"]


def test_what_was_trained_already_is_not_trained_again(
    compiled: Compiled, pod: Pod, tmp_path: Path
) -> None:
    called: list[str] = []

    def run(name: str, words: list[str]) -> None:
        called.append(name)
        if name == "resolve-revision":
            (tmp_path / name).write_text("same")

    given = dict.fromkeys(("git_revision", "recipe", "data_revision", "champion"), "")
    compiled.run(given, "job-2", tmp_path, run)
    assert called == ["resolve-revision", "record"]
