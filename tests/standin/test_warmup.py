"""Warm-up requests are played before the first caller comes, and only those that fit."""

from pathlib import Path
from typing import Any

import pytest
from helpers.served_models import client_of, floats, standin, versions

from sortline.client.messages import message
from sortline.client.server_status import StatusError
from sortline.client.tensors import to_proto
from sortline.core.tfrecord import write_records
from sortline.serving.version_folder import MAX_RECORDS, WARMUP


def record(name: str = "default", signature: str = "", value: Any = (1.0,)) -> bytes:
    log = message("tensorflow.serving.PredictionLog")()
    request = log.predict_log.request
    request.model_spec.name, request.model_spec.signature_name = name, signature
    request.inputs["x"].CopyFrom(to_proto(value))
    return bytes(log.SerializeToString())


def with_warmup(base_path: Path, model: Path, data: bytes) -> Path:
    versions(base_path, model, 1)
    (base_path / "1" / WARMUP).parent.mkdir(exist_ok=True)
    (base_path / "1" / WARMUP).write_bytes(data)
    return base_path


X = floats(1.0)


def test_records_are_played_before_it_is_available_and_others_are_left_out_and_said(
    tmp_path: Path, half_plus_two: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    records = [
        record(value=X),
        record(name="", value=X),
        record(name="another", value=X),
        record(signature="nope", value=X),
        record(value=[b"text"]),
        b"\xff\xff",
        b"",
    ]
    base_path = with_warmup(tmp_path / "default", half_plus_two, write_records(records))
    with standin(f"--model_base_path={base_path}") as running, client_of(running) as client:
        assert client.half_plus(2.0) == 3.0
    said = capfd.readouterr().err
    assert "Number of warmup records read: 2." in said
    assert said.index("warmup records read") < said.index("AVAILABLE")
    for at, why in (
        (2, "it is for the model another, and this is default"),
        (3, 'Serving signature key "nope" not found.'),
        (4, "to be float but string is provided"),
        (5, "it is no PredictionLog"),
        (6, "it is a log of nothing"),
    ):
        assert f"warm-up record {at} of " in said
        assert why in said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (write_records([record(value=X)])[:-1], "truncated record"),
        (write_records([record(value=X)]).replace(b"default", b"defaulT"), "corrupted record"),
        (write_records([b""] * (MAX_RECORDS + 1)), "exceeds the maximum (1000)"),
    ],
    ids=["cut off", "damaged", "too many"],
)
def test_a_damaged_file_or_too_many_records_keep_the_version_out(
    tmp_path: Path, half_plus_two: Path, data: bytes, said: str
) -> None:
    base_path = with_warmup(tmp_path / "default", half_plus_two, data)
    with (
        pytest.raises(StatusError, match=r"1 servable\(s\) did not become available") as error,
        standin(f"--model_base_path={base_path}"),
    ):
        pass
    assert said in str(error.value)
