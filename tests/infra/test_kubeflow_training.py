"""The job that trains on several machines: its objects, its pods, and what they are told."""

import string
from typing import Any

import pytest
import yaml
from helpers.rendered import INFRA, render

from sortline.core.graph import read_graph
from sortline.orchestration.tasks import PodSpec, pod_spec, stage_arguments
from sortline.training.cluster import task_of

kubernetes_validate = pytest.importorskip("kubernetes_validate")
STAGE = "fine_tune_phase2"
TEXT = (INFRA / "kubeflow" / "training.yaml").read_text(encoding="utf-8")
FIVE = dict(
    line.split("=", 1)
    for line in (INFRA / "k8s" / "values" / "values.env").read_text(encoding="utf-8").split()
)
Object = dict[str, Any]


@pytest.fixture(scope="module")
def objects() -> dict[str, Object]:
    """As kubectl gets them, by kind."""
    body = "".join(line for line in TEXT.splitlines(keepends=True) if not line.startswith("#"))
    filled = string.Template(body).substitute({**FIVE, "RUN_ID": "run-1"})
    return {each["kind"]: each for each in yaml.safe_load_all(filled)}


@pytest.fixture(scope="module")
def job(objects: dict[str, Object]) -> Object:
    """The Job of Kubernetes that the runtime and the job come to."""
    (replicated,) = objects["TrainingRuntime"]["spec"]["template"]["spec"]["replicatedJobs"]
    spec = yaml.safe_load(yaml.safe_dump(replicated["template"]["spec"]))
    trainer = objects["TrainJob"]["spec"]["trainer"]
    (container,) = spec["template"]["spec"]["containers"]
    container |= {name: trainer[name] for name in ("image", "command", "args", "env")}
    container["resources"] = trainer["resourcesPerNode"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "node"}, "spec": spec}


@pytest.fixture(scope="module")
def of_the_dag(objects: dict[str, Object]) -> PodSpec:
    """What the DAG gives the stage's pod, in the same cluster."""
    values = yaml.safe_load((INFRA / "airflow" / "values.yaml").read_text(encoding="utf-8"))
    with pytest.MonkeyPatch.context() as patch:
        for each in values["env"]:
            patch.setenv(each["name"], string.Template(each["value"]).substitute(FIVE))
        return pod_spec("gpu")


def test_the_first_line_says_what_was_not_checked() -> None:
    assert TEXT.startswith("# unchecked: ")


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("TrainJob", "TrainerV1alpha1TrainJob"),
        ("TrainingRuntime", "TrainerV1alpha1TrainingRuntime"),
    ],
)
def test_the_trainers_own_models_know_every_field(
    objects: dict[str, Object], kind: str, model: str
) -> None:
    models = pytest.importorskip("kubeflow_trainer_api.models")
    read = getattr(models, model).from_dict(objects[kind])
    # They ignore what they do not know: a typing error is what is missing afterwards.
    assert read.to_dict() == objects[kind]


@pytest.mark.parametrize("minor", ["1.35", "1.36", "1.37"])
def test_kubernetes_accepts_its_pods_and_its_network_rules(
    objects: dict[str, Object], job: Object, minor: str
) -> None:
    kubernetes_validate.validate(job, minor, strict=True)
    kubernetes_validate.validate(objects["NetworkPolicy"], minor, strict=True)


def test_its_pods_are_those_of_the_dag(job: Object, of_the_dag: PodSpec) -> None:
    pod = job["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    del variables["SORTLINE_WORKERS"]
    assert variables == of_the_dag.variables
    assert container["image"] == of_the_dag.image
    assert container["resources"]["requests"] == of_the_dag.requests
    assert container["resources"]["limits"] == of_the_dag.limits
    assert pod["spec"]["nodeSelector"] == of_the_dag.nodes
    assert [each["key"] for each in pod["spec"]["tolerations"]] == list(of_the_dag.tolerated)
    assert pod["spec"]["serviceAccountName"] == of_the_dag.account
    assert of_the_dag.labels.items() <= pod["metadata"]["labels"].items()
    assert job["spec"]["activeDeadlineSeconds"] == read_graph(INFRA.parent)[STAGE].timeout_s


def test_it_runs_the_command_of_the_stage(job: Object) -> None:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["sortline"]
    assert tuple(container["args"]) == stage_arguments(STAGE, "run-1")


def test_each_pod_knows_which_worker_it_is(objects: dict[str, Object], job: Object) -> None:
    nodes = objects["TrainJob"]["spec"]["trainer"]["numNodes"]
    assert nodes == objects["TrainingRuntime"]["spec"]["mlPolicy"]["numNodes"]
    assert nodes == job["spec"]["parallelism"] == job["spec"]["completions"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (workers,) = [e["value"] for e in container["env"] if e["name"] == "SORTLINE_WORKERS"]
    name = objects["TrainJob"]["metadata"]["name"]
    assert workers.split(",") == [f"{name}-node-0-{index}.{name}:2222" for index in range(nodes)]
    for index in range(nodes):
        told = {"SORTLINE_WORKERS": workers, "JOB_COMPLETION_INDEX": str(index)}
        assert task_of(told) == (index, nodes)


def test_workers_reach_each_other_and_nobody_else_reaches_them(
    objects: dict[str, Object], job: Object
) -> None:
    labels = job["spec"]["template"]["metadata"]["labels"]
    spec = objects["NetworkPolicy"]["spec"]
    (inwards,), (outwards,) = spec["ingress"], spec["egress"]
    for selector in (spec["podSelector"], *(e["podSelector"] for e in inwards["from"])):
        assert selector["matchLabels"].items() <= labels.items()
    port = job["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"]
    assert inwards["ports"] == outwards["ports"] == [{"protocol": "TCP", "port": port}]
    spaces = {each["metadata"]["namespace"] for each in objects.values()}
    accounts = [each for each in render("gpu") if each["kind"] == "ServiceAccount"]
    found = {(e["metadata"]["namespace"], e["metadata"]["name"]) for e in accounts}
    assert {(space, "trainer") for space in spaces} <= found


def test_its_pods_may_run_in_a_restricted_namespace(job: Object) -> None:
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    own = container["securityContext"]
    assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert all("sizeLimit" in volume["emptyDir"] for volume in spec["volumes"])


def test_a_refusal_is_not_tried_again_and_a_loss_is(
    objects: dict[str, Object], job: Object
) -> None:
    from sortline.core.errors import RefusedError, SortlineError, UnreachableError

    (rule,) = job["spec"]["podFailurePolicy"]["rules"]
    final = rule["onExitCodes"]["values"]
    assert {1, SortlineError.exit_code, RefusedError.exit_code} == set(final)
    assert UnreachableError.exit_code not in final
    policy = objects["TrainingRuntime"]["spec"]["template"]["spec"]["failurePolicy"]
    assert policy["maxRestarts"] > 0
    assert policy["rules"][0]["action"] == "FailJobSet"
