"""A repository, storage that every pod reaches, and a pod."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from helpers.pod_machine import Pod, call_sortline
from helpers.workspaces import make_workspace


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("pods") / "repository")


@pytest.fixture(scope="module")
def pod_storage(repository: Path) -> Iterator[dict[str, str]]:
    """Variables of a pod: a bucket on this machine that holds the dataset."""
    # Servers of moto in one process have their buckets in common.
    bucket = f"pipeline-{uuid.uuid4().hex[:8]}"
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "SORTLINE_REPOSITORY": str(repository),
        "SORTLINE_DVC_REMOTE": f"s3://{bucket}/dvc",
        "SORTLINE_FEATURES": f"s3://{bucket}/features",
    }
    try:
        with pytest.MonkeyPatch.context() as patched:
            for name, value in variables.items():
                patched.setenv(name, value)
            boto3.client("s3").create_bucket(Bucket=bucket)
        call_sortline(repository, ["data-updated"], variables)
        yield variables
    finally:
        server.stop()


@pytest.fixture
def pod(tmp_path: Path, pod_storage: dict[str, str]) -> Pod:
    return Pod(tmp_path / "pod", pod_storage)
