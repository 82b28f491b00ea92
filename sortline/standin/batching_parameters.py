"""`--batching_parameters_file`: the text of a tensorflow.serving.BatchingParameters."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from sortline.client.model_config import parse_text_file
from sortline.core.errors import ParamsError

_FLAG: Final = "batching_parameters_file"
_NUMBERS: Final = (
    "max_batch_size",
    "batch_timeout_micros",
    "max_enqueued_batches",
    "num_batch_threads",
)
_IGNORED: Final = {
    "thread_pool_name": "StringValue",
    "enable_large_batch_splitting": "BoolValue",
    "max_execution_batch_size": "Int64Value",
}
_PADDING: Final = "pad_variable_length_inputs"
_PACKAGE: Final = "tensorflow.serving"


@dataclass(frozen=True)
class BatchingParameters:
    """How requests are put together; the defaults are the real server's.

    Attributes:
        max_batch_size: rows of a batch, and of a request.
        batch_timeout_micros: that a batch which is not full waits for more, in us.
        max_enqueued_batches: that wait to be computed, of one version.
        num_batch_threads: batches that are computed at once, of one version.
        allowed_batch_sizes: rows that the graph is given; none: any number.
        ignored: what the file says besides, and this stand-in does not honour.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()
    ignored: tuple[str, ...] = ()

    def padded(self, size: int) -> int:
        """The rows that the graph is given for so many."""
        fitting = (allowed for allowed in self.allowed_batch_sizes if allowed >= size > 0)
        return next(fitting, size)


def message_class() -> Any:
    """tensorflow.serving.BatchingParameters, as far as its text goes: no package brings it.

    Text needs names and kinds alone, not the true numbers of the fields.
    """
    kinds = descriptor_pb2.FieldDescriptorProto
    one: dict[str, Any] = {"label": kinds.LABEL_OPTIONAL}
    file = descriptor_pb2.FileDescriptorProto(name="batching.proto", package=_PACKAGE)
    values = {
        "Int64Value": kinds.TYPE_INT64,
        "StringValue": kinds.TYPE_STRING,
        "BoolValue": kinds.TYPE_BOOL,
    }
    for name, kind in values.items():
        file.message_type.add(name=name).field.add(name="value", number=1, type=kind, **one)
    whole = file.message_type.add(name="BatchingParameters")
    wrapped = {**dict.fromkeys(_NUMBERS, "Int64Value"), **_IGNORED}
    for at, (name, wrapper) in enumerate(wrapped.items(), 1):
        typed = {"type": kinds.TYPE_MESSAGE, "type_name": f".{_PACKAGE}.{wrapper}"}
        whole.field.add(name=name, number=at, **typed, **one)
    sizes: dict[str, Any] = {"type": kinds.TYPE_INT64, "label": kinds.LABEL_REPEATED}
    whole.field.add(name="allowed_batch_sizes", number=20, **sizes)
    whole.field.add(name=_PADDING, number=21, type=kinds.TYPE_BOOL, **one)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName(f"{_PACKAGE}.BatchingParameters")
    return message_factory.GetMessageClass(found)


def _checked(found: BatchingParameters, path: Path) -> BatchingParameters:
    least = {"batch_timeout_micros": 0}
    for name in _NUMBERS:
        if (value := getattr(found, name)) < least.get(name, 1):
            raise ParamsError(f"--{_FLAG}={path}: {name} is {value}; {least.get(name, 1)} or more.")
    sizes = found.allowed_batch_sizes
    if sizes and (list(sizes) != sorted({*sizes}) or sizes[-1] != found.max_batch_size):
        raise ParamsError(
            f"--{_FLAG}={path}: allowed_batch_sizes are {list(sizes)}; they have to increase, and"
            f" the last one has to be max_batch_size, {found.max_batch_size}."
        )
    return found


def read_batching(enabled: bool, path: Path | None) -> BatchingParameters | None:
    """What the two flags ask for; None: no batching.

    Raises:
        ParamsError: the file cannot be used, or is given without --enable_batching.
    """
    if not enabled:
        if path is not None:
            raise ParamsError(f"--{_FLAG} would be ignored without --enable_batching: add it.")
        return None
    if path is None:
        return BatchingParameters()
    given = parse_text_file(path, message_class()(), _FLAG)
    numbers = {name: getattr(given, name).value for name in _NUMBERS if given.HasField(name)}
    ignored = tuple(name for name in (*_IGNORED, _PADDING) if given.HasField(name))
    sizes = tuple(given.allowed_batch_sizes)
    return _checked(BatchingParameters(**numbers, allowed_batch_sizes=sizes, ignored=ignored), path)
