"""A model server on loopback that answers as a test tells it, and remembers what it was asked."""

import io
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from PIL import Image

from sortline.client.messages import PREDICTION_SERVICE, message, methods_of
from sortline.client.tensors import from_proto, to_proto

LABELS = ("can", "jar", "sheet")
VERSION = 7


def picture(kind: str = "PNG", seed: int = 0, **options: Any) -> bytes:
    """A file of 24 x 16 random pixels; another one for another seed."""
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 24, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def lying_on_its_side(kind: str = "JPEG", orientation: int = 6) -> bytes:
    """A file that says so in its EXIF, and has a colour profile."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return picture(kind, exif=exif, icc_profile=b"profile")


def shares_of(image: bytes) -> list[float]:
    """What the server says of an image: of these bytes always the same, of others other."""
    drawn = np.random.default_rng(zlib.crc32(image)).random(len(LABELS)).astype("float32")
    return [float(share) for share in drawn / drawn.sum(dtype="float32")]


def label_of(image: bytes) -> str:
    """The label that it gives."""
    return LABELS[int(np.argmax(shares_of(image)))]


def images_of(request: Any) -> list[bytes]:
    """The files in a PredictRequest."""
    return list(from_proto(request.inputs["image_bytes"]))


def _row(image: bytes) -> tuple[list[float], int, str, bool]:
    if image.endswith(b"broken"):
        return [0.0] * len(LABELS), -1, "", False
    return shares_of(image), LABELS.index(label_of(image)), label_of(image), True


def _names(context: grpc.ServicerContext) -> list[bytes]:
    # gRPC's stubs have it that there may be one name outside of a list; there never is.
    names: Any = context.auth_context().get("x509_common_name", [])
    return list(names)


def usual_answer(request: Any) -> Any:
    """What an exported model answers; files that end in `broken` are invalid."""
    shares, ids, labels, valid = zip(*map(_row, images_of(request)), strict=True)
    response = message("tensorflow.serving.PredictResponse")()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = VERSION
    outputs: dict[str, Any] = {
        "probabilities": np.array(shares, "float32"),
        "class_id": np.array(ids, "int64"),
        "label": labels,
        "valid": np.array(valid),
    }
    for name, values in outputs.items():
        response.outputs[name].CopyFrom(to_proto(values))
    return response


@dataclass
class Script:
    """What happens to the calls, in their order.

    Attributes:
        codes: with which the first calls end; the later ones are answered.
        answer: of a request.
        pauses_s: before the first calls end.
        held: while it is set, no call ends but by its client's will.
        requests: as they came in.
        remaining_s: until each call's deadline, when it came in.
        peers: who called, by the name in their certificate.
        came: a call came in.
        went: the client of a call that is held went away.
    """

    codes: list[grpc.StatusCode] = field(default_factory=list)
    answer: Callable[[Any], Any] = usual_answer
    pauses_s: list[float] = field(default_factory=list)
    held: bool = False
    requests: list[Any] = field(default_factory=list)
    remaining_s: list[float] = field(default_factory=list)
    peers: list[bytes] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)
    went: threading.Event = field(default_factory=threading.Event)

    def predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The method."""
        self.requests.append(request)
        self.remaining_s.append(context.time_remaining() or 0.0)
        self.peers.extend(_names(context))
        ended = threading.Event()
        context.add_callback(ended.set)
        self.came.set()
        if self.held and ended.wait(60):
            self.went.set()
        elif self.pauses_s:
            ended.wait(self.pauses_s.pop(0))
        if self.codes:
            context.abort(self.codes.pop(0), "as the script says")
        return self.answer(request)


@contextmanager
def serving(
    script: Script,
    *,
    port: int = 0,
    credentials: grpc.ServerCredentials | None = None,
    max_message_bytes: int = 4 << 20,
) -> Iterator[str]:
    """Run it; yields its target."""
    request, response = methods_of(PREDICTION_SERVICE)["Predict"]
    method = grpc.unary_unary_rpc_method_handler(
        script.predict,
        request_deserializer=request.FromString,
        response_serializer=response.SerializeToString,
    )
    handlers = grpc.method_handlers_generic_handler(PREDICTION_SERVICE, {"Predict": method})
    options = [("grpc.max_receive_message_length", max_message_bytes), ("grpc.so_reuseport", 0)]
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool, handlers=[handlers], options=options)
        address = f"localhost:{port}"
        bound = (
            server.add_secure_port(address, credentials)
            if credentials
            else server.add_insecure_port(address)
        )
        server.start()
        try:
            yield f"localhost:{bound}"
        finally:
            server.stop(None).wait()
