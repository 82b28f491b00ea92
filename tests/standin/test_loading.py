"""Whatever is put under a base path, what serves goes on serving, and the status says why."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from helpers.served_models import Client, Running, client_of, floats, refusal, standin, versions
from helpers.served_models import model_config as config

from sortline.client.messages import MODEL_SERVICE, message
from sortline.client.server_status import StatusError
from sortline.client.tensors import to_proto
from sortline.core.tfrecord import write_records
from sortline.serving.version_folder import MAX_RECORDS, WARMUP


def status(client: Client, version: int) -> Any:
    spec = {"name": "default", "version": {"value": version}}
    found = client.ask(MODEL_SERVICE, "GetModelStatus", model_spec=spec)
    return found.model_version_status[0]


def _missing(folder: Path) -> None:
    (folder / "saved_model.pb").unlink()


def _truncated(folder: Path) -> None:
    path = folder / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:-500])


def _no_variables(folder: Path) -> None:
    shutil.rmtree(folder / "variables")


def _cut_variables(folder: Path) -> None:
    path = next((folder / "variables").glob("variables.data*"))
    path.write_bytes(path.read_bytes()[:-1])


def _flipped(folder: Path) -> None:
    path = next((folder / "variables").glob("variables.data*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _no_contract(folder: Path) -> None:
    (folder / "assets.extra" / "contract.json").write_text("{}")


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("3")


def _dead_link(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to("nowhere")


def _link_to_itself(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to(folder)


def _a_pipe(folder: Path) -> None:
    (folder / "saved_model.pb").unlink()
    os.mkfifo(folder / "saved_model.pb")


def _bad_warmup(folder: Path) -> None:
    (folder / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"not records" * 9)


BREAKS = [
    (_missing, "Could not find SavedModel"),
    (_truncated, "is not what was exported"),
    (_no_variables, "is not what was exported"),
    (_cut_variables, "is not what was exported"),
    (_flipped, "is not what was exported"),
    (_no_contract, "contract.json has format_version None"),
    (_empty, "Could not find SavedModel"),
    (_a_file, "Could not find SavedModel"),
    (_dead_link, "Could not find SavedModel"),
    (_link_to_itself, "Could not find SavedModel"),
    (_a_pipe, "Could not find SavedModel"),
    (_bad_warmup, "corrupted record"),
]


def test_a_broken_version_never_takes_the_serving_one_down_and_says_why(
    served: tuple[Running, Client], base_path: Path, ours: Path
) -> None:
    running, client = served
    for number, (break_it, said) in enumerate(BREAKS, start=2):
        folder = base_path / str(number)
        shutil.copytree(ours, folder)
        break_it(folder)
        running.poll()
        found = status(client, number)
        assert client.states()[number] == "END", break_it
        assert found.status.error_code != 0, break_it
        assert said in found.status.error_message
        assert client.half_plus(2.0) == 3.0, break_it
    assert client.states()[1] == "AVAILABLE"


@pytest.mark.parametrize("break_it", [_truncated, _no_variables, _cut_variables])
def test_a_broken_model_of_others_is_tensorflows_to_judge(
    served: tuple[Running, Client],
    base_path: Path,
    half_plus_three: Path,
    break_it: Callable[[Path], None],
) -> None:
    running, client = served
    versions(base_path, half_plus_three, 2)
    break_it(base_path / "2")
    running.poll()
    assert client.states() == {2: "END", 1: "AVAILABLE"}
    assert status(client, 2).status.error_message
    assert client.half_plus(2.0) == 3.0


def test_a_version_that_was_mended_is_loaded_at_the_next_look_and_not_tried_before(
    served: tuple[Running, Client], base_path: Path, half_plus_three: Path
) -> None:
    running, client = served
    (base_path / "2").mkdir()
    running.poll()
    first = running.server.registry.catalogue.models["default"].versions[2]
    running.poll()
    assert running.server.registry.catalogue.models["default"].versions[2] is first
    shutil.copytree(half_plus_three, base_path / "2", dirs_exist_ok=True)
    running.poll()
    assert client.half_plus(2.0) == 4.0


@pytest.mark.parametrize("numbers", [(1, 2), (1, 9)], ids=["broken", "missing"])
def test_a_reload_whose_version_does_not_come_up_says_so_and_the_old_one_serves(
    served: tuple[Running, Client], base_path: Path, numbers: tuple[int, ...]
) -> None:
    _, client = served
    (base_path / "2").mkdir()
    with pytest.raises(grpc.RpcError) as error:
        client.reload(config(base_path, *numbers[1:]))
    code, details = refusal(error.value)
    assert code == "UNKNOWN"
    assert details.startswith("1 servable(s) did not become available")
    if numbers[1] == 2:  # What is wanted is there, and broken: the old one stays.
        assert client.half_plus(2.0) == 3.0
    with pytest.raises(grpc.RpcError) as error:
        client.reload(config(base_path, *numbers))
    assert refusal(error.value)[0] == "UNKNOWN"
    assert client.half_plus(2.0) == 3.0
    client.reload(config(base_path, 1))
    assert client.half_plus(2.0) == 3.0


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
