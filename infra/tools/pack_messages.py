"""Pack the descriptors of sortline/client/messages.py: `python -m infra.tools.pack_messages`.

Reads them from the installed tensorflow-serving-api, which is the only place where that package is
needed; run it again when TensorFlow Serving adds a field that we want.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2

from sortline.client import messages
from sortline.core.files import atomic_file

_HEALTH_STATES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


def _with_dependencies(file: Any, seen: set[str]) -> Iterator[Any]:
    if file.name not in seen:
        seen.add(file.name)
        for each in file.dependencies:
            yield from _with_dependencies(each, seen)
        yield file


def _health() -> descriptor_pb2.FileDescriptorProto:
    """grpc.health.v1, as https://github.com/grpc/grpc/blob/master/doc/health-checking.md has it."""
    file = descriptor_pb2.FileDescriptorProto(
        name="grpc/health/v1/health.proto", package="grpc.health.v1", syntax="proto3"
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    one = {"number": 1, "label": kinds.LABEL_OPTIONAL}
    request = file.message_type.add(name="HealthCheckRequest")
    request.field.add(name="service", type=kinds.TYPE_STRING, **one)
    response = file.message_type.add(name="HealthCheckResponse")
    states = response.enum_type.add(name="ServingStatus")
    for number, name in enumerate(_HEALTH_STATES):
        states.value.add(name=name, number=number)
    state = ".grpc.health.v1.HealthCheckResponse.ServingStatus"
    response.field.add(name="status", type=kinds.TYPE_ENUM, type_name=state, **one)
    service = file.service.add(name="Health")
    for method in ("Check", "Watch"):
        service.method.add(
            name=method,
            input_type=".grpc.health.v1.HealthCheckRequest",
            output_type=".grpc.health.v1.HealthCheckResponse",
            server_streaming=method == "Watch",
        )
    return file


def pack() -> bytes:
    """A FileDescriptorSet, dependencies first."""
    from tensorflow_serving.apis import (
        model_service_pb2,
        prediction_log_pb2,
        prediction_service_pb2,
    )

    packed = descriptor_pb2.FileDescriptorSet()
    seen: set[str] = set()
    for module in (prediction_service_pb2, model_service_pb2, prediction_log_pb2):
        for file in _with_dependencies(module.DESCRIPTOR, seen):
            file.CopyToProto(packed.file.add())
    packed.file.append(_health())
    return packed.SerializeToString(deterministic=True)


def main() -> None:
    """Write the file beside messages.py."""
    target = Path(messages.__file__).with_name(messages.FILE)
    with atomic_file(target) as partial:
        partial.write_bytes(pack())
    print(f"{target}: {target.stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
