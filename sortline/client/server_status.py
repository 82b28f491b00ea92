"""What a call is refused with: a code of gRPC's and a message."""

from dataclasses import dataclass
from typing import Any, Final

import grpc

from sortline.core.errors import SortlineError

# A longer text would not fit into the trailers of an HTTP/2 answer, and the code would be lost.
MAX_DETAILS_CHARS: Final = 2000
_BY_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode}


class StatusError(SortlineError):
    """One call is refused, or one version cannot be loaded.

    Args:
        code: what the client gets.
        details: for a person; cut off after `MAX_DETAILS_CHARS`.
    """

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self.code, self.details = code, details[:MAX_DETAILS_CHARS]
        super().__init__(f"{code.name}: {self.details}")


@dataclass(frozen=True)
class Status:
    """How a version or a call ended."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = ""

    @property
    def number(self) -> int:
        """Of the code, as the protocols write it."""
        return int(self.code.value[0])


OK: Final = Status()
DEFECT: Final = Status(grpc.StatusCode.INTERNAL, "A defect of the stand-in; its log says more.")


def invalid(details: str) -> StatusError:
    """The request itself is wrong."""
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, details)


def status_of(error: BaseException) -> Status:
    """The status that stands for an exception.

    TensorFlow's errors carry a number of the same meaning as gRPC's; anything else that loading or
    computing raises is UNKNOWN, with the exception's own words.
    """
    if isinstance(error, StatusError):
        return Status(error.code, error.details)
    number: Any = getattr(error, "error_code", None)
    code = _BY_NUMBER.get(number, grpc.StatusCode.UNKNOWN)
    text: str = getattr(error, "message", None) or str(error) or type(error).__name__
    return Status(code, text[:MAX_DETAILS_CHARS])
