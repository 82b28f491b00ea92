"""TensorFlow Serving's messages, without TensorFlow.

tensorflow-serving-api installs all of TensorFlow for some forty message types. Their descriptors
lie beside this file (infra/tools/pack_messages.py wrote them) and are loaded into a pool of their
own: in protobuf's default pool they would clash with TensorFlow's when a process imports both.
"""

import functools
import importlib.resources
import threading
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FILE: Final = "tf_serving.binpb"
PREDICTION_SERVICE: Final = "tensorflow.serving.PredictionService"
MODEL_SERVICE: Final = "tensorflow.serving.ModelService"
HEALTH: Final = "grpc.health.v1.Health"


_LOADING: Final = threading.Lock()


@functools.cache
def _loaded() -> descriptor_pool.DescriptorPool:
    packed = importlib.resources.files(__package__).joinpath(FILE).read_bytes()
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(packed).file:
        pool.Add(file)
    return pool


def _pool() -> descriptor_pool.DescriptorPool:
    with _LOADING:  # The cache alone lets two threads make a pool each, whose messages do not mix.
        return _loaded()


# Kept: a class that nobody holds is collected, and made anew for the next request.
@functools.cache
def message(name: str) -> Any:
    """The class of a message by its full name.

    Raises:
        KeyError: no such message is packed.
    """
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(name))


def number_of(enum: str, name: str) -> int:
    """The number of an enum's value, both by name.

    Raises:
        KeyError: no such enum or value.
    """
    return int(_pool().FindEnumTypeByName(enum).values_by_name[name].number)


def name_of(enum: str, number: int) -> str:
    """The name of an enum's value; the number itself when it has none."""
    value = _pool().FindEnumTypeByName(enum).values_by_number.get(number)
    return value.name if value else str(number)


def methods_of(service: str) -> dict[str, tuple[Any, Any]]:
    """The classes of request and response of every method of a service, by the method's name."""
    return {
        method.name: (message(method.input_type.full_name), message(method.output_type.full_name))
        for method in _pool().FindServiceByName(service).methods
    }
