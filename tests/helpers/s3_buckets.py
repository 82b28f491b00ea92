"""What tests do to the S3 server of s3_server.py, which pytest imports as a plugin."""

import urllib.request


def reset(moto: str) -> None:
    """Empty the server, which keeps its buckets in this process."""
    with urllib.request.urlopen(f"{moto}/moto-api/reset", data=b"") as reply:
        assert reply.status == 200


def make_bucket(moto: str, name: str) -> None:
    """A new bucket; without a client of boto3, which takes longer to make than most tests."""
    request = urllib.request.Request(f"{moto}/{name}", method="PUT")
    with urllib.request.urlopen(request) as reply:
        assert reply.status == 200
