"""Answers as a client logs them, and logs that are made of them."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq

from sortline.core.logged_predictions import LoggedPrediction
from sortline.core.prediction_log import PredictionLog

NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)
LABELS = ("can", "jar", "sheet")


def sha_of(number: int) -> str:
    """SHA-256 of the picture of this number."""
    return hashlib.sha256(b"picture %d" % number).hexdigest()


def sent(
    number: int, label: str = "can", confidence: float = 0.8, **changes: Any
) -> LoggedPrediction:
    """An answer to the picture of this number, a second after the one before it."""
    rest = (1.0 - confidence) / (len(LABELS) - 1)
    values: dict[str, Any] = {
        "time": NOON + timedelta(seconds=number),
        "model": "sortline",
        "version": 3,
        "sha256": sha_of(number),
        "class_id": LABELS.index(label) if label else -1,
        "label": label,
        "probabilities": tuple(confidence if each == label else rest for each in LABELS),
        "valid": True,
        "latency_s": 0.0125,
        "image": b"picture %d" % number,
    }
    return LoggedPrediction(**{**values, **changes})


def unreadable(number: int, **changes: Any) -> LoggedPrediction:
    """What is logged of a picture that the server could not read."""
    return sent(number, "", valid=False, probabilities=(0.0,) * len(LABELS), **changes)


def write_log(address: str | Path, answers: Iterable[LoggedPrediction], **settings: Any) -> None:
    """Make a log of these answers."""
    with PredictionLog(address, **{"max_rows": 100_000, **settings}) as log:
        for each in answers:
            log(each)


def files_of(folder: Path) -> list[Path]:
    """The files of a log, the oldest first."""
    return sorted(folder.glob("*.parquet"))


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """All rows of a log, in the order of its files."""
    tables = [pq.read_table(path) for path in files_of(folder)]
    rows: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist() if tables else []
    return rows


@contextmanager
def bucket_server() -> Iterator[str]:
    """An S3 server with an empty bucket, for whom this process asks; yields `s3://bucket`."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    access = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test")
    address = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    try:
        with mock.patch.dict(os.environ, {**access, **address}):
            boto3.client("s3").create_bucket(Bucket="logs")
            yield "s3://logs"
    finally:
        server.stop()
