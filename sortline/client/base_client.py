"""What the two clients share: their settings, and the request that these make of images."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Final

from sortline.client.messages import message
from sortline.client.rpc import MAX_MESSAGE_BYTES, Options, Tls
from sortline.client.tensors import to_proto
from sortline.core.errors import ParamsError
from sortline.core.logged_predictions import LoggedPrediction

if TYPE_CHECKING:  # prometheus_client is needed by those alone who count.
    from sortline.client.client_metrics import ClientMetrics

MAX_PIXELS: Final = 50_000_000
_SIGNATURE: Final = "serving_default"
_INPUT: Final = "image_bytes"
_LENGTHS_BYTES: Final = 32  # Lengths and dimensions around the images grow with them.
# A server that starts anew is looked for at once: by default after one second, later two minutes.
_RECONNECT: Final = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
)
# A proxy of the environment knows another localhost than ours.
_LOOPBACK: Final = ("localhost:", "127.0.0.1:", "[::1]:", "unix:")
_NO_PROXY: Final = (("grpc.enable_http_proxy", 0),)


@dataclass(eq=False)
class BaseClient:
    """Asks a model server about images.

    An image is the path or the bytes of a JPEG, PNG or WebP file. What its header alone gives away
    is refused here and not sent; pixels are the server's to judge. Either way the image gets an
    answer with `valid` false and the reason, and its neighbours theirs. A picture whose EXIF
    orientation says that it lies on its side is turned upright, and for that decoded and encoded
    anew (`rotated` in its answer); of all others the very bytes are sent.

    Attributes:
        target: `HOST:PORT` of gRPC, or `unix:PATH`.
        model_name: on the server.
        version: the only one that may answer; None for the server's latest.
        version_label: the version that the server gives this label, e.g. "stable".
        tls: None for a connection in the clear.
        timeout_s: for a whole `predict`, its batches, retries and waits.
        labels: in the order of class ids (contract.json of the model lists them). With them a
            prediction has `by_label`, and a server whose labels differ is an error.
        max_pixels: width x height of an image that is sent.
        max_message_bytes: of a request; images are sent in as many as it takes.
        max_batch_items: images a request.
        max_attempts: of a request, the later ones after UNAVAILABLE alone.
        channel_options: of gRPC, added to ours.
        log: called with every image that was answered, before its predictions are returned; of an
            asyncio client, in a thread beside the loop. What it raises, `predict` raises.
        metrics: where calls and predictions are counted.

    Raises:
        ParamsError: settings contradict each other.
    """

    target: str
    model_name: str = "sortline"
    _: KW_ONLY
    version: int | None = None
    version_label: str | None = None
    tls: Tls | None = None
    timeout_s: float = 10.0
    labels: Sequence[str] = ()
    max_pixels: int = MAX_PIXELS
    max_message_bytes: int = MAX_MESSAGE_BYTES
    max_batch_items: int = 32
    max_attempts: int = 8
    channel_options: Options = ()
    log: Callable[[LoggedPrediction], None] | None = None
    metrics: "ClientMetrics | None" = None

    def __post_init__(self) -> None:
        if self.version is not None and self.version_label is not None:
            raise ParamsError(
                f"Both version {self.version} and label {self.version_label!r} are asked for:"
                " a request names one of them."
            )
        if not self.target or self.target.startswith(("http://", "https://")):
            raise ParamsError(
                f"The target is {self.target!r}; wanted HOST:PORT of gRPC, as localhost:8500."
            )
        if min(self.max_batch_items, self.max_attempts, self.max_pixels) < 1:
            raise ParamsError("max_batch_items, max_attempts and max_pixels are 1 or more.")
        if self.room <= 0 or self.timeout_s <= 0:
            raise ParamsError(
                f"timeout_s is {self.timeout_s} and max_message_bytes {self.max_message_bytes};"
                " no image fits into them."
            )

    @property
    def room(self) -> int:
        """Bytes that a request has for images, each with its overhead."""
        return self.max_message_bytes - int(self.request([b""]).ByteSize()) - _LENGTHS_BYTES

    @property
    def options(self) -> Options:
        """Of the channel."""
        most = max(self.max_message_bytes, MAX_MESSAGE_BYTES)
        received = ("grpc.max_receive_message_length", most)
        proxy = _NO_PROXY if self.target.startswith(_LOOPBACK) else ()
        return (*_RECONNECT, received, *proxy, *self.channel_options)

    def request(self, images: list[bytes]) -> Any:
        """A PredictRequest for images."""
        request = message("tensorflow.serving.PredictRequest")()
        request.model_spec.name = self.model_name
        request.model_spec.signature_name = _SIGNATURE
        if self.version is not None:
            request.model_spec.version.value = self.version
        if self.version_label is not None:
            request.model_spec.version_label = self.version_label
        request.inputs[_INPUT].CopyFrom(to_proto(images))
        return request
