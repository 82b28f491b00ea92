"""Model servers that serve the same store: told to reload, asked for states and for answers."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc

from sortline.client import rpc
from sortline.client.messages import (
    MODEL_SERVICE,
    PREDICTION_SERVICE,
    message,
    name_of,
)
from sortline.core.errors import ServingError
from sortline.releases.model_config import served_by, with_served

_STATES: Final = "tensorflow.serving.ModelVersionStatus.State"
AVAILABLE: Final = "AVAILABLE"
_LOOPBACK: Final = ("localhost:", "127.0.0.1:", "[::1]:", "unix:")
_NO_PROXY: Final = (("grpc.enable_http_proxy", 0),)
_PAUSE_S: Final = 0.1
_PATIENCE_S: Final = 5.0  # A server that was told to reload has begun to load by then.
_FORBIDDEN: Final = ("PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED")
_LEAST_S: Final = 0.001  # gRPC takes no timeout of zero.


@dataclass(frozen=True)
class State:
    """What a server says of a version: START, LOADING, AVAILABLE, UNLOADING or END, and why."""

    name: str
    error: str = ""

    @property
    def shown(self) -> str:
        """In one line."""
        return f"{self.name} ({self.error})" if self.error else self.name


def left(deadline: float) -> float:
    """Seconds until a time of `time.monotonic`, as a call's timeout."""
    return max(deadline - time.monotonic(), _LEAST_S)


class Replica:
    """One model server.

    Args:
        target: `HOST:PORT` of gRPC, as the user named it.
        channel: to it; closing it is the caller's.
    """

    def __init__(self, target: str, channel: grpc.Channel) -> None:
        self.target = target
        self._reload = rpc.method(channel, MODEL_SERVICE, "HandleReloadConfigRequest")
        self._status = rpc.method(channel, MODEL_SERVICE, "GetModelStatus")
        self._predict = rpc.method(channel, PREDICTION_SERVICE, "Predict")
        self._metadata = rpc.method(channel, PREDICTION_SERVICE, "GetModelMetadata")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise rpc.explained(error, self.target) from error

    def reload(self, config: Any, deadline: float) -> None:
        """Make a ModelServerConfig the whole of what it serves.

        Raises:
            ServingError: it does not take it, or not in time.
        """
        request = message("tensorflow.serving.ReloadConfigRequest")(config=config)
        try:
            with self._explained():
                status = self._reload(request, timeout=left(deadline)).status
        except ServingError as error:
            if error.code not in _FORBIDDEN:
                raise
            advice = f"{error} If it polls the config file instead, set promote.reload: false."
            raise ServingError(error.code, error.target, advice) from error
        if status.error_code:
            code = name_of("tensorflow.error.Code", status.error_code)
            raise ServingError(code, self.target, f"{self.target}: {code}: {status.error_message}")

    def states(self, model: str, deadline: float) -> dict[int, State]:
        """The state of each version of a model that it knows; none of a model that it does not.

        Raises:
            ServingError: it cannot be asked.
        """
        request = message("tensorflow.serving.GetModelStatusRequest")()
        request.model_spec.name = model
        try:
            with self._explained():
                found = self._status(request, timeout=left(deadline)).model_version_status
        except ServingError as error:
            if error.code == "NOT_FOUND":
                return {}
            raise
        return {
            each.version: State(name_of(_STATES, each.state), each.status.error_message)
            for each in found
        }

    def labelled(self, model: str, label: str, deadline: float) -> int | None:
        """The version that answers for a label; None when none does.

        Raises:
            ServingError: it cannot be asked.
        """
        request = message("tensorflow.serving.GetModelMetadataRequest")()
        request.model_spec.name, request.model_spec.version_label = model, label
        request.metadata_field.append("signature_def")
        try:
            with self._explained():
                answer = self._metadata(request, timeout=left(deadline))
        except ServingError as error:
            if error.code in ("NOT_FOUND", "INVALID_ARGUMENT"):
                return None
            raise
        return int(answer.model_spec.version.value)

    def predict(self, request: Any, timeout_s: float) -> Any:
        """A PredictResponse.

        Raises:
            ServingError: there is none.
        """
        with self._explained():
            return self._predict(request, timeout=timeout_s)


def available(states: Mapping[int, State]) -> frozenset[int]:
    """The versions that serve."""
    return frozenset(version for version, state in states.items() if state.name == AVAILABLE)


def converge(replica: Replica, config: Any, base_path: str, model: str, deadline: float) -> None:
    """Have a replica reload until it serves what a config says of a model, labels included.

    Labels go to loaded versions only: one whose version is not there yet waits for it.

    Raises:
        ServingError: it does not come to that in time.
    """
    served = served_by(config, model)
    if served is None:
        replica.reload(config, deadline)
        return
    states = replica.states(model, deadline)
    there = available(states)
    if missing := set(served.labels.values()) - there:
        kept = {label: at for label, at in served.labels.items() if at in there}
        first = type(served)(served.versions, kept)
        replica.reload(with_served(config, model, base_path, first), deadline)
        for version in missing:
            wait_available(replica, model, version, deadline, states.get(version))
    replica.reload(config, deadline)


def wait_available(
    replica: Replica,
    model: str,
    version: int,
    deadline: float,
    before: State | None = None,
    patience_s: float = _PATIENCE_S,
) -> None:
    """Wait until a replica serves a version.

    Args:
        replica: who.
        model: its name.
        version: which.
        deadline: of `time.monotonic`.
        before: its state before it was asked for: an old failure is no answer.
        patience_s: after which that failure is believed all the same: it is the new one, too.

    Raises:
        ServingError: it cannot load it, or does not in time.
    """
    state: State | None = None
    believed = time.monotonic() + patience_s
    while True:
        try:
            state = replica.states(model, deadline).get(version)
        except ServingError as error:
            if error.code not in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                raise
            state = State(error.code, "the server does not answer")
        if state and state.name == AVAILABLE:
            return
        is_new = state != before or time.monotonic() >= believed
        if state and state.name == "END" and state.error and is_new:
            raise ServingError(
                "FAILED_PRECONDITION",
                replica.target,
                f"{replica.target} cannot load version {version} of {model}: {state.error}",
            )
        if time.monotonic() >= deadline:
            seen = state.shown if state else "it does not know it"
            raise ServingError(
                "DEADLINE_EXCEEDED",
                replica.target,
                f"{replica.target} does not serve version {version} of {model} in time: {seen}."
                " Look at its log, or raise promote.deadline_s.",
            )
        time.sleep(min(_PAUSE_S, left(deadline)))


@contextmanager
def open_replicas(targets: Sequence[str], tls: rpc.Tls | None = None) -> Iterator[list[Replica]]:
    """Channels to model servers, for the length of the block."""
    with ExitStack() as stack:
        yield [
            Replica(target, stack.enter_context(rpc.open_channel(target, tls, _options(target))))
            for target in targets
        ]


def _options(target: str) -> rpc.Options:
    # A proxy of the environment knows another localhost than ours.
    return _NO_PROXY if target.startswith(_LOOPBACK) else ()
