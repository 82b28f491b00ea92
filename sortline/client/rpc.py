"""Calls to a model server: channels, one typed way to call a method, and what went wrong."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio

from sortline.client.messages import methods_of
from sortline.core.errors import ArtifactError, ParamsError, ServingError

MAX_MESSAGE_BYTES: Final = 4 << 20  # gRPC's own default, on both sides of a connection.
Options = Sequence[tuple[str, Any]]

_WITH_CODE: Final = (grpc.Call, grpc.aio.AioRpcError)
_WHAT_TO_DO: Final = {
    "CANCELLED": "The call was cancelled: repeat it if the answer is still wanted.",
    "UNAVAILABLE": "Check that a model server listens there (gRPC is port 8500 by default) and that"
    " both sides use TLS, or neither.",
    "DEADLINE_EXCEEDED": "Allow more time, or send fewer images at once.",
    "NOT_FOUND": "Check the model's name and version; the server's status lists what it has.",
    "INVALID_ARGUMENT": "Check that the model there is one that Sortline exported, and the label.",
    "FAILED_PRECONDITION": "Check that the model there is one that Sortline exported.",
    "RESOURCE_EXHAUSTED": "It is overloaded, or the message is larger than it takes: send less.",
    "UNIMPLEMENTED": "What listens there is no TensorFlow Serving, or this is its REST port.",
    "UNAUTHENTICATED": "Check the client's certificate and key.",
    "PERMISSION_DENIED": "Check the client's certificate and key.",
}


@dataclass(frozen=True)
class Tls:
    """Files of PEM; with certificate and key, the server is told who we are (mutual TLS).

    Attributes:
        authority: certificates that are trusted; None for the system's.
        certificate: of this client.
        key: of this client.

    Raises:
        ParamsError: one of certificate and key is given, and not the other.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            given, lacking = ("key", "certificate") if self.key else ("certificate", "key")
            raise ParamsError(
                f"There is a {given} for TLS and no {lacking}: give both, or neither."
            )

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC wants of them.

        Raises:
            ArtifactError: a file cannot be read.
        """
        return grpc.ssl_channel_credentials(
            _read(self.authority), _read(self.key), _read(self.certificate)
        )


def _read(path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path else None
    except OSError as error:
        seen = error.strerror or str(error)
        raise ArtifactError(f"{path} cannot be read: {seen}. Wanted a file of PEM.") from error


def open_channel(target: str, tls: Tls | None = None, options: Options = ()) -> grpc.Channel:
    """A channel to `HOST:PORT` or `unix:PATH`; closing it is the caller's."""
    if tls is None:
        return grpc.insecure_channel(target, options=list(options))
    return grpc.secure_channel(target, tls.credentials(), options=list(options))


def open_async_channel(
    target: str, tls: Tls | None = None, options: Options = ()
) -> grpc.aio.Channel:
    """The same for asyncio, inside a running loop."""
    if tls is None:
        return grpc.aio.insecure_channel(target, options=list(options))
    return grpc.aio.secure_channel(target, tls.credentials(), options=list(options))


def method(channel: Any, service: str, name: str) -> Callable[..., Any]:
    """A method to call with a request, and `timeout=` in seconds; of either kind of channel."""
    request, response = methods_of(service)[name]
    call: Callable[..., Any] = channel.unary_unary(
        f"/{service}/{name}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    return call


def code_of(error: grpc.RpcError) -> str:
    """gRPC's name of what went wrong: "UNAVAILABLE"."""
    return str(error.code().name) if isinstance(error, _WITH_CODE) else "UNKNOWN"


def explained(error: grpc.RpcError, target: str, tried: str = "") -> ServingError:
    """The same failure as an error of ours, to be raised from it.

    Args:
        error: as gRPC raised it.
        target: the server, as the user named it.
        tried: what was done about it, for the message: "8 attempts in 3.1 s".
    """
    code = code_of(error)
    details = (error.details() if isinstance(error, _WITH_CODE) else "") or "no details"
    attempts = f" ({tried})" if tried else ""
    advice = _WHAT_TO_DO.get(code, "The server's own log says more.")
    return ServingError(
        code, target, f"{target}: {code}: {details.rstrip('.')}{attempts}. {advice}"
    )
