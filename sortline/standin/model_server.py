"""`python -m sortline.standin.model_server`: a stand-in for `tensorflow_model_server`.

It takes the real binary's flags. Once its ports are open it prints one line on stderr:

    model_server: listening grpc=127.0.0.1:8500 rest=127.0.0.1:8501

(`rest=-` without REST). That a port is open does not mean that a model is loaded: ask for its
status. SIGTERM and SIGINT stop it after the calls under way.
"""

import argparse
import asyncio
import gc
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from sortline.client.model_config import parse_text_file
from sortline.core.entry import exit_code_of
from sortline.core.errors import ParamsError, ServingError
from sortline.core.quiet import quiet_libraries
from sortline.standin.batching import BatchingParameters

LISTENING: Final = "listening"
_PROGRAM: Final = "python -m sortline.standin.model_server"
_METRICS_PATH: Final = "/monitoring/prometheus/metrics"
# Messages of tensorflow.serving whose text two flags take, and that no package brings: kind by
# field. Text needs names and kinds alone, not the true numbers of the fields.
_MESSAGES: Final = {
    "Int64Value": {"value": "int64"},
    "StringValue": {"value": "string"},
    "BoolValue": {"value": "bool"},
    "BatchingParameters": {
        "max_batch_size": "Int64Value",
        "batch_timeout_micros": "Int64Value",
        "max_enqueued_batches": "Int64Value",
        "num_batch_threads": "Int64Value",
        "allowed_batch_sizes": "repeated int64",
        "thread_pool_name": "StringValue",
        "enable_large_batch_splitting": "BoolValue",
        "max_execution_batch_size": "Int64Value",
        "pad_variable_length_inputs": "bool",
    },
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {"prometheus_config": "PrometheusConfig"},
}
_BATCHING_LEAST: Final = {
    "max_batch_size": 1,
    "batch_timeout_micros": 0,
    "max_enqueued_batches": 1,
    "num_batch_threads": 1,
}


@dataclass(frozen=True)
class Flags:
    """What was asked for, in the real server's words; files that are read once have been read.

    Attributes:
        port: for gRPC; 0: any free one.
        rest_api_port: 0: any free one; None: no REST.
        metrics_path: where metrics are shown over REST; None: nowhere.
        batching: how requests are put together; None: they are not.
        grpc_channel_arguments: for the server.
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
    metrics_path: str | None
    batching: BatchingParameters | None
    grpc_channel_arguments: tuple[tuple[str, int | str], ...]
    allow_version_labels_for_unavailable_models: bool
    tensorflow_intra_op_parallelism: int


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ParamsError(f"{message}. `{_PROGRAM} --help` lists the flags.")


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


def _channel_arguments(text: str) -> tuple[tuple[str, int | str], ...]:
    arguments: list[tuple[str, int | str]] = []
    for pair in filter(None, text.split(",")):
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise argparse.ArgumentTypeError(f"{name!r} is no NAME=VALUE")
        try:
            arguments.append((name, int(value)))
        except ValueError:
            arguments.append((name, value))
    return tuple(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=_PROGRAM,
        description="The command line, with the real server's own names and spellings.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--port", type=_port, default=8500, help="Of gRPC, on 127.0.0.1; 0: a free one.")
    add("--rest_api_port", type=_port, help="Of REST; 0: a free one (the real server: none).")
    add("--grpc_socket_path", default="", help="A Unix socket to listen on as well.")
    add("--model_name", default="default", help="With --model_base_path.")
    add("--model_base_path", type=Path, help="A folder of versions: <base path>/<number>/.")
    add("--model_config_file", type=Path, help="Text of a ModelServerConfig; instead of both.")
    add("--model_config_file_poll_wait_seconds", type=int, default=0, help="0: read once.")
    polling = "Between looks at the base paths; 0: one look; negative: none before a reload."
    add("--file_system_poll_wait_seconds", type=int, default=1, help=polling)
    add("--monitoring_config_file", type=Path, help="Text of a MonitoringConfig.")
    flag: dict[str, Any] = {"type": _boolean, "nargs": "?", "const": True, "default": False}
    add("--enable_batching", help="Compute the requests of several callers as one.", **flag)
    add("--batching_parameters_file", type=Path, help="Text of a BatchingParameters.")
    pairs = "NAME=VALUE,NAME=VALUE"
    add("--grpc_channel_arguments", type=_channel_arguments, default=(), help=pairs)
    labels = "A label that is new may name a version that is not loaded."
    add("--allow_version_labels_for_unavailable_models", help=labels, **flag)
    # Requests run beside each other: threads within one operation make them wait for each other,
    # and 16 clients got fewer answers a second on two cores.
    threads = "Threads of one operation; 0: as TensorFlow sees fit (the real server's default)."
    add("--tensorflow_intra_op_parallelism", type=_count, default=1, help=threads)
    add("--version", action="store_true", help="Say which server this is, and end.")
    return parser


def parse_flags(arguments: Sequence[str]) -> Flags | None:
    """Read a command line; None when it only asks for the version.

    Raises:
        ParamsError: a flag is unknown or has a value that it cannot have, no model is named, or a
            file of batching or monitoring cannot be used.
        SystemExit: `--help` was asked for, and has been printed.
    """
    flags = vars(_parser().parse_args(list(arguments)))
    if flags.pop("version"):
        return None
    if not (flags["model_config_file"] or flags["model_base_path"]):
        raise ParamsError("No model is named: give --model_base_path or --model_config_file.")
    if flags["port"] and flags["port"] == flags["rest_api_port"]:
        raise ParamsError(f"--port and --rest_api_port are both {flags['port']}: give two ports.")
    metrics_path = read_metrics_path(flags.pop("monitoring_config_file"))
    batching = read_batching(flags.pop("enable_batching"), flags.pop("batching_parameters_file"))
    return Flags(metrics_path=metrics_path, batching=batching, **flags)


def message_class(name: str) -> Any:
    """The class of one of the messages whose text a flag takes, by its name in tensorflow.serving.

    Raises:
        KeyError: it is another message.
    """
    package = "tensorflow.serving"
    file = descriptor_pb2.FileDescriptorProto(name="standin.proto", package=package)
    for message, fields in _MESSAGES.items():
        entry = file.message_type.add(name=message)
        for number, (field, kind) in enumerate(fields.items(), 1):
            added = entry.field.add(name=field, number=number)
            repeated, _, plain = kind.rpartition(" ")
            added.label = added.LABEL_REPEATED if repeated else added.LABEL_OPTIONAL
            if kind in _MESSAGES:
                added.type, added.type_name = added.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                added.type = added.Type.Value(f"TYPE_{plain.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))


def read_metrics_path(path: Path | None) -> str | None:
    """Where `--monitoring_config_file` wants the metrics; None: nowhere.

    Raises:
        ParamsError: the file cannot be used.
    """
    if path is None:
        return None
    text = parse_text_file(path, message_class("MonitoringConfig")(), "monitoring_config_file")
    metrics_path: str = text.prometheus_config.path or _METRICS_PATH
    if not metrics_path.startswith("/"):
        raise ParamsError(
            f"--monitoring_config_file={path}: path is {metrics_path!r}; begin it with /."
        )
    return metrics_path if text.prometheus_config.enable else None


def read_batching(enabled: bool, path: Path | None) -> BatchingParameters | None:
    """What the two flags of batching ask for; None: no batching.

    Raises:
        ParamsError: the file cannot be used, or is given without --enable_batching.
    """
    flag = "--batching_parameters_file"
    if not enabled:
        if path is not None:
            raise ParamsError(f"{flag} would be ignored without --enable_batching: add it.")
        return None
    if path is None:
        return BatchingParameters()
    text = parse_text_file(path, message_class("BatchingParameters")(), flag.removeprefix("--"))
    named = {field.name for field, _ in text.ListFields()} - {"allowed_batch_sizes"}
    for name, least in _BATCHING_LEAST.items():
        if name in named and getattr(text, name).value < least:
            raise ParamsError(
                f"{flag}={path}: {name} is {getattr(text, name).value}; {least} or more."
            )
    numbers = {name: getattr(text, name).value for name in named & _BATCHING_LEAST.keys()}
    sizes = tuple(text.allowed_batch_sizes)
    batching = BatchingParameters(**numbers, allowed_batch_sizes=sizes)
    largest = batching.max_batch_size
    if sizes and (list(sizes) != sorted({*sizes}) or sizes[-1] != largest):
        raise ParamsError(
            f"{flag}={path}: allowed_batch_sizes are {list(sizes)}; they have to increase, and the"
            f" last one has to be max_batch_size, {largest}."
        )
    fields = _MESSAGES["BatchingParameters"]
    ignored = tuple(name for name in fields if name in named - _BATCHING_LEAST.keys())
    return replace(batching, ignored=ignored)


async def _serve(flags: Flags) -> None:
    import tensorflow as tf

    from sortline.standin.server import Server, say

    tf.get_logger().setLevel("ERROR")  # It advises against the loader that the real server uses.
    tf.config.threading.set_intra_op_parallelism_threads(flags.tensorflow_intra_op_parallelism)
    # TensorFlow's half a million objects stay: who frees a model need not look through them, while
    # every call waits.
    gc.freeze()

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = Server(flags)
    try:
        at = await server.start()
        say(f"{LISTENING} grpc={at.grpc} rest={at.rest or '-'}")
        loading = asyncio.create_task(server.load())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if loading.done() and (error := loading.exception()):
            raise ServingError("UNKNOWN", "", f"Failed to start server. Error: {error}") from error
        await stopping
    finally:
        await server.stop()


def main() -> None:
    """Serve until told to stop; the exit code is 0 then, and 2 when it could not start."""
    quiet_libraries()

    def work() -> None:
        if flags := parse_flags(sys.argv[1:]):
            asyncio.run(_serve(flags))
            return
        import tensorflow as tf

        print(f"Sortline's stand-in for TensorFlow Serving\nTensorFlow Library: {tf.__version__}")

    sys.exit(exit_code_of(work))


if __name__ == "__main__":
    main()
