"""Calls to a model server: channels, and one typed way to call a method."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from pipeline_steps.serving.messages import methods_of

MAX_MESSAGE_BYTES: Final = 4 << 20  # gRPC's own default, on both sides of a connection.


@dataclass(frozen=True)
class Tls:
    """Files of PEM; with certificate and key, the server is told who we are (mutual TLS).

    Attributes:
        authority: certificates that are trusted; None for the system's.
        certificate: of this client.
        key: of this client.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC wants of them."""
        files = (self.authority, self.key, self.certificate)
        return grpc.ssl_channel_credentials(*(f.read_bytes() if f else None for f in files))


def open_channel(
    target: str, tls: Tls | None = None, options: Sequence[tuple[str, Any]] = ()
) -> grpc.Channel:
    """A channel to `HOST:PORT` or `unix:PATH`; closing it is the caller's."""
    if tls is None:
        return grpc.insecure_channel(target, options=list(options))
    return grpc.secure_channel(target, tls.credentials(), options=list(options))


def method(channel: Any, service: str, name: str) -> Callable[..., Any]:
    """A method to call with a request, and `timeout=` in seconds; of either kind of channel."""
    request, response = methods_of(service)[name]
    call: Callable[..., Any] = channel.unary_unary(
        f"/{service}/{name}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    return call
