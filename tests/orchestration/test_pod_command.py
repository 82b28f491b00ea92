"""A pod's command, run here: a fresh clone, a DVC remote on S3, nothing kept between pods."""

from pathlib import Path

import pytest
from helpers.pod_machine import Pod
from helpers.workspaces import git

pytest_plugins = ["helpers.pod_fixtures"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_pods_do_stages_and_another_run_gets_them_from_the_run_cache(
    pod: Pod, repository: Path
) -> None:
    pod.run("retraining plan --run-id one")
    first = pod.run("retraining stage validate --run-id one")
    assert "Running stage 'validate'" in first
    assert "200 images of 10 classes" in first
    below = pod.run("retraining stage augment --run-id one")
    assert "Running stage 'augment'" in below
    assert "Stage 'validate' didn't change" in below
    again = pod.run("retraining stage validate --run-id one")
    assert "done already" in again
    pod.run("retraining plan --run-id two")
    second = pod.run("retraining stage validate --run-id two")
    assert "Stage 'validate' is cached - skipping run" in second
    assert "200 images" not in second
    assert git(repository, "status", "--porcelain") == ""


def test_a_stage_whose_upstream_claims_a_success_is_refused(
    pod: Pod, pod_storage: dict[str, str]
) -> None:
    pod.run("retraining plan --run-id three")
    with pytest.raises(AssertionError, match=r"validate left no done-manifest"):
        pod.run("retraining stage augment --run-id three")


def test_parts_of_the_features_are_computed_by_several_pods_and_used_by_another(pod: Pod) -> None:
    pod.run("retraining plan --run-id four")
    for stage in ("validate", "augment", "warm_start"):
        pod.run(f"retraining stage {stage} --run-id four")
    for part in ("1/2", "2/2"):
        assert " 0 features computed" not in pod.run(f"retraining features {part} --run-id four")
    assert "\n0 features computed; the others were there." in pod.run(
        "retraining features 1/1 --run-id four"
    )
