"""A harness written for the real binary can start the stand-in; a typing error cannot pass."""

from pathlib import Path

import pytest

from sortline.core.errors import ParamsError
from sortline.standin.flags import parse_flags

BASE = "--model_base_path=/models/m"


def test_both_spellings_and_every_flag() -> None:
    flags = parse_flags(
        [
            "--port",
            "8600",
            "--rest_api_port=8601",
            "--model_name=m",
            BASE,
            "--model_config_file=/c",
            "--model_config_file_poll_wait_seconds=5",
            "--file_system_poll_wait_seconds=-1",
            "--monitoring_config_file=/m",
            "--enable_batching",
            "--batching_parameters_file=/b",
            "--grpc_channel_arguments=grpc.max_receive_message_length=9,grpc.x=y",
            "--grpc_socket_path=/tmp/s",
            "--allow_version_labels_for_unavailable_models=true",
            "--tensorflow_intra_op_parallelism=2",
        ]
    )
    assert flags is not None
    assert (flags.port, flags.rest_api_port, flags.model_name) == (8600, 8601, "m")
    assert flags.channel_arguments == (("grpc.max_receive_message_length", 9), ("grpc.x", "y"))
    assert flags.file_system_poll_wait_seconds == -1
    assert flags.allow_version_labels_for_unavailable_models
    assert flags.tensorflow_intra_op_parallelism == 2
    assert (flags.enable_batching, flags.batching_parameters_file) == (True, Path("/b"))


def test_the_defaults_are_the_real_servers_but_for_threads() -> None:
    flags = parse_flags([BASE])
    assert flags is not None
    assert (flags.port, flags.rest_api_port, flags.model_name) == (8500, None, "default")
    assert (flags.file_system_poll_wait_seconds, flags.enable_batching) == (1, False)
    assert flags.model_base_path == Path("/models/m")
    assert flags.tensorflow_intra_op_parallelism == 1  # Beside each other, not within.
    assert parse_flags([BASE, "--enable_batching=false"]) == flags
    assert parse_flags(["--version"]) is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "No model is named"),
        ([BASE, "--prot=1"], "--prot"),
        ([BASE, "--port=http"], "no port from 0 to 65535"),
        ([BASE, "--port=70000"], "no port"),
        ([BASE, "--enable_batching=maybe"], "neither true nor false"),
        ([BASE, "--grpc_channel_arguments=grpc.x"], "no NAME=VALUE"),
        ([BASE, "--port=8501", "--rest_api_port=8501"], "both 8501"),
        ([BASE, "--tensorflow_intra_op_parallelism=-1"], "no number from 0"),
        ([BASE, "stray"], "stray"),
        ([BASE, "--model_nam=x"], "--model_nam"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(ParamsError) as error:
        parse_flags(arguments)
    assert said in str(error.value)
    assert "lists the flags" in str(error.value) or "give" in str(error.value)
