"""A lost pod is tried again; a refusal, or a defect of ours, never is."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.workspaces import environment

# Exit status (None: its node was lost with it) and phase (None: the pod itself is gone).
ENDINGS: dict[str, tuple[int | None, str | None]] = {
    "done": (0, "Succeeded"),
    "nothing to do": (99, "Failed"),
    "refused": (2, "Failed"),
    "a defect": (1, "Failed"),
    "the gates refused": (3, "Failed"),
    "network lost": (75, "Failed"),
    "killed": (137, "Failed"),
    "evicted": (None, "Failed"),
    "vanished": (None, None),
}


@pytest.fixture(scope="module")
def endings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the operator makes of each ending, of a pod on a Kubernetes on loopback."""
    folder = tmp_path_factory.mktemp("kubernetes")
    script = str(Path(__file__).parents[1] / "helpers" / "pod_endings.py")
    done = subprocess.run(
        [sys.executable, script, str(folder), json.dumps(list(ENDINGS.values()))],
        env=environment(
            AIRFLOW_HOME=str(folder),
            AIRFLOW_CONN_KUBERNETES_DEFAULT="kubernetes://",
            SORTLINE_IMAGE="registry.example/sortline-train:1.2.3",
            SORTLINE_NAMESPACE="sortline",
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(zip(ENDINGS, json.loads(done.stdout.splitlines()[-1]), strict=True))


def test_a_pod_that_did_its_work_is_a_success_and_is_removed(endings: dict[str, Any]) -> None:
    assert endings["done"] == {"raised": [], "deleted": True}


@pytest.mark.parametrize("how", ["refused", "a defect", "the gates refused"])
def test_a_refusal_or_a_defect_is_never_tried_again(endings: dict[str, Any], how: str) -> None:
    assert "AirflowFailException" in endings[how]["raised"]


@pytest.mark.parametrize("how", ["network lost", "killed", "evicted", "vanished"])
def test_a_lost_pod_is_tried_again(endings: dict[str, Any], how: str) -> None:
    raised = endings[how]["raised"]
    assert "AirflowException" in raised
    assert not {"AirflowFailException", "AirflowSkipException"} & set(raised)


def test_a_pod_that_found_nothing_to_do_skips_its_task(endings: dict[str, Any]) -> None:
    assert "AirflowSkipException" in endings["nothing to do"]["raised"]
