"""When a call is tried again: on UNAVAILABLE, and nothing else."""

from collections.abc import Callable
from typing import Any, Final

import grpc
from tenacity import (
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from sortline.client.rpc import code_of

FIRST_WAIT_S: Final = 0.1  # At most; the time is drawn between nothing and this, then twice this.
LONGEST_WAIT_S: Final = 2.0


def is_unavailable(error: BaseException) -> bool:
    """Whether the server was not there: a refused connection, a restart, a shutdown."""
    return isinstance(error, grpc.RpcError) and code_of(error) == "UNAVAILABLE"


def policy(
    max_attempts: int, within_s: float, on_retry: Callable[[RetryCallState], None]
) -> dict[str, Any]:
    """Arguments of tenacity's `Retrying` and `AsyncRetrying`.

    Not gRPC's own retries: those stop after five attempts, which a server that starts anew
    outlasts, keep no message above 256 KiB to send it again unless told so, and draw their waits
    from a fifth around the mean, so that the clients of a server that went come back together.

    Args:
        max_attempts: in all.
        within_s: no attempt begins later than this after the first.
        on_retry: called before each wait.
    """
    return {
        "retry": retry_if_exception(is_unavailable),
        "wait": wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
        "stop": stop_after_attempt(max_attempts) | stop_before_delay(within_s),
        "before_sleep": on_retry,
        "reraise": True,
    }
