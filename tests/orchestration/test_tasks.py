"""What a pod is given: by its stage's needs, its duty, and what the cluster has."""

import pytest

from sortline.core.errors import ParamsError
from sortline.orchestration.tasks import GPU, pod_spec


@pytest.fixture(autouse=True)
def _cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORTLINE_IMAGE", "registry.example/sortline-train:1.2.3")
    for name in ("GPUS", "GPU_NODES", "SERVICE_ACCOUNT", "PUBLISHER_ACCOUNT", "STATE_CLAIM"):
        monkeypatch.delenv(f"SORTLINE_{name}", raising=False)


def test_a_cluster_without_gpus_can_still_schedule_a_gpu_stage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert pod_spec("gpu").limits[GPU] == "1"
    monkeypatch.setenv("SORTLINE_GPUS", "0")
    spec = pod_spec("gpu")
    assert GPU not in spec.requests | spec.limits
    assert (spec.nodes, spec.tolerated) == ({}, ())
    assert spec.requests["memory"] == "16Gi", "training needs its memory there as well"


def test_a_gpu_stage_gets_as_many_gpus_as_it_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORTLINE_GPUS", "4")
    monkeypatch.setenv("SORTLINE_GPU_NODES", "{}")
    spec = pod_spec("gpu")
    assert spec.requests[GPU] == spec.limits[GPU] == "4"
    assert (spec.nodes, spec.tolerated) == ({}, (GPU,)), "any node's GPU, tainted or not"


def test_a_duty_decides_whose_rights_a_pod_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORTLINE_SERVICE_ACCOUNT", "trainer")
    monkeypatch.setenv("SORTLINE_PUBLISHER_ACCOUNT", "publisher")
    assert pod_spec("cpu").account == "trainer"
    assert pod_spec("cpu", "publisher").account == "publisher"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SORTLINE_GPUS", "some", "0: the cluster has none"),
        ("SORTLINE_GPUS", "-1", "SORTLINE_GPUS is '-1'"),
        ("SORTLINE_GPU_NODES", "gpu", "a JSON object"),
        ("SORTLINE_IMAGE", "", "SORTLINE_IMAGE is not set"),
    ],
)
def test_a_wrong_setting_is_said_where_the_graph_is_read(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ParamsError, match=said):
        pod_spec("gpu")
