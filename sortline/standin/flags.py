"""The command line, with the real server's own names and spellings."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from sortline.core.errors import ParamsError

PROGRAM = "python -m sortline.standin.model_server"


@dataclass(frozen=True)
class Flags:
    """What was asked for.

    Attributes:
        port: for gRPC; 0: any free one.
        rest_api_port: 0: any free one; None: no REST.
        channel_arguments: of gRPC, for the server.
        tensorflow_intra_op_parallelism: threads of one operation; 0: as TensorFlow sees fit.
    """

    port: int
    rest_api_port: int | None
    grpc_socket_path: str
    model_name: str
    model_base_path: Path | None
    model_config_file: Path | None
    model_config_file_poll_wait_seconds: int
    file_system_poll_wait_seconds: int
    monitoring_config_file: Path | None
    enable_batching: bool
    batching_parameters_file: Path | None
    channel_arguments: tuple[tuple[str, int | str], ...]
    allow_version_labels_for_unavailable_models: bool
    tensorflow_intra_op_parallelism: int


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ParamsError(f"{message}. `{PROGRAM} --help` lists the flags.")


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "1")


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0")
    return int(text)


def _arguments(text: str) -> tuple[tuple[str, int | str], ...]:
    pairs = [part.partition("=") for part in text.split(",") if part]
    if wrong := [name for name, equals, _ in pairs if not (name and equals)]:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is no NAME=VALUE")
    return tuple((name, _number_or_text(value)) for name, _, value in pairs)


def _number_or_text(value: str) -> int | str:
    try:
        return int(value)
    except ValueError:
        return value


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROGRAM, description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add(
        "--port",
        type=_port,
        default=8500,
        help="Of gRPC, on the loopback interface; 0: a free one.",
    )
    add("--rest_api_port", type=_port, help="Of REST; 0: a free one (the real server: none).")
    add("--grpc_socket_path", default="", help="A Unix socket to listen on as well.")
    add("--model_name", default="default", help="With --model_base_path.")
    add("--model_base_path", type=Path, help="A folder of versions: <base path>/<number>/.")
    add("--model_config_file", type=Path, help="Text of a ModelServerConfig; instead of both.")
    add("--model_config_file_poll_wait_seconds", type=int, default=0, help="0: read once.")
    add(
        "--file_system_poll_wait_seconds",
        type=int,
        default=1,
        help="Between looks at the base paths; 0: one look; negative: none before a reload.",
    )
    add("--monitoring_config_file", type=Path, help="Text of a MonitoringConfig.")
    flag: dict[str, Any] = {"type": _boolean, "nargs": "?", "const": True, "default": False}
    add("--enable_batching", help="Compute the requests of several callers as one.", **flag)
    add("--batching_parameters_file", type=Path, help="Text of a BatchingParameters.")
    add("--grpc_channel_arguments", type=_arguments, default=(), help="NAME=VALUE,NAME=VALUE")
    add(
        "--allow_version_labels_for_unavailable_models",
        help="A label that is new may name a version that is not loaded.",
        **flag,
    )
    # Requests run beside each other: threads within one operation make them wait for each other,
    # and 16 clients got fewer answers a second on two cores.
    add(
        "--tensorflow_intra_op_parallelism",
        type=_count,
        default=1,
        help="Threads of one operation; 0: as TensorFlow sees fit (the real server's default).",
    )
    add("--version", action="store_true", help="Say which server this is, and end.")
    return parser


def parse_flags(arguments: Sequence[str]) -> Flags | None:
    """Read a command line; None when it only asks for the version.

    Raises:
        ParamsError: a flag is unknown or has a value that it cannot have, or no model is named.
        SystemExit: `--help` was asked for, and has been printed.
    """
    given = vars(_parser().parse_args(list(arguments)))
    if given.pop("version"):
        return None
    given["channel_arguments"] = given.pop("grpc_channel_arguments")
    flags = Flags(**given)
    if not (flags.model_config_file or flags.model_base_path):
        raise ParamsError("No model is named: give --model_base_path or --model_config_file.")
    if flags.port and flags.port == flags.rest_api_port:
        raise ParamsError(f"--port and --rest_api_port are both {flags.port}: give two ports.")
    return flags
