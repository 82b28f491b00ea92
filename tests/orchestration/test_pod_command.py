"""A pod's command, run here: a fresh clone, a DVC remote on S3, nothing kept between pods."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from workspaces import environment, git, make_workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("pods") / "repository")


@pytest.fixture(scope="module")
def s3(repository: Path) -> Iterator[dict[str, str]]:
    """Variables of a pod: a bucket on this machine that holds the dataset."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "SORTLINE_REPOSITORY": str(repository),
        "SORTLINE_DVC_REMOTE": "s3://pipeline/dvc",
        "SORTLINE_FEATURES": "s3://pipeline/features",
    }
    try:
        with pytest.MonkeyPatch.context() as patched:
            for name, value in variables.items():
                patched.setenv(name, value)
            boto3.client("s3").create_bucket(Bucket="pipeline")
        _call(repository, "data-updated", variables)
        yield variables
    finally:
        server.stop()


def _call(folder: Path, arguments: str, variables: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline_steps.cli", *shlex.split(arguments)],
        cwd=folder,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


class Pod:
    """A machine of its own: what it keeps is gone with it."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder, self.variables = folder, variables

    def run(self, arguments: str) -> str:
        """Run a pod's command, and lose everything it had; what it printed."""
        self.folder.mkdir()
        own = {
            "SORTLINE_WORK_DIR": str(self.folder / "work"),
            "SORTLINE_STATE_DIR": str(self.folder / "state"),
            "HOME": str(self.folder),
        }
        try:
            return _call(self.folder, arguments, {**self.variables, **own})
        finally:
            shutil.rmtree(self.folder)


@pytest.fixture
def pod(tmp_path: Path, s3: dict[str, str]) -> Pod:
    return Pod(tmp_path / "pod", s3)


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


def test_a_stage_whose_upstream_claims_a_success_is_refused(pod: Pod, s3: dict[str, str]) -> None:
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
