"""What a client tells of every image that it sent: the record that a prediction log keeps."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Sent:
    """One image, as it was sent, and what came back for it.

    Attributes:
        time: when the call that carried it began, in UTC.
        model: the model's name on the server.
        version: the version that answered.
        sha256: of the bytes sent, in hex. Of a picture that was turned, that is the turned one.
        class_id: -1 where the server found the image invalid.
        label: "" where the server found the image invalid.
        probabilities: in the order of class ids; all zero where the image is invalid.
        valid: whether the server could read the image.
        latency_s: of the call that carried it, retries included, in seconds.
        image: the bytes sent.
    """

    time: datetime
    model: str
    version: int
    sha256: str
    class_id: int
    label: str
    probabilities: tuple[float, ...]
    valid: bool
    latency_s: float
    image: bytes = field(repr=False)
