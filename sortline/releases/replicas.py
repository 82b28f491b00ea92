"""Model servers that serve the same store: told to reload, asked for states and for answers.

What they are asked are golden requests: those that warm a version up, once more.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from sortline.client import rpc
from sortline.client.messages import MODEL_SERVICE, PREDICTION_SERVICE, message, name_of
from sortline.client.model_config import Served, served_by, with_served
from sortline.client.tensors import from_proto
from sortline.core.errors import DataError, RefusedError, ServingError
from sortline.core.tfrecord import read_records

_STATES: Final = "tensorflow.serving.ModelVersionStatus.State"
AVAILABLE: Final = "AVAILABLE"
_LOOPBACK: Final = ("localhost:", "127.0.0.1:", "[::1]:", "unix:")
_NO_PROXY: Final = (("grpc.enable_http_proxy", 0),)
_PAUSE_S: Final = 0.1
_PATIENCE_S: Final = 5.0  # A server that was told to reload has begun to load by then.
_FORBIDDEN: Final = ("PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED")
_LEAST_S: Final = 0.001  # gRPC takes no timeout of zero.
_SUM_TOLERANCE: Final = 1e-3
# Between machines: other instructions add float32 in another order.
_REPLICA_TOLERANCE: Final = 1e-3

Probabilities = npt.NDArray[np.float64]


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
                statuses = self._status(request, timeout=left(deadline)).model_version_status
        except ServingError as error:
            if error.code == "NOT_FOUND":
                return {}
            raise
        return {
            status.version: State(name_of(_STATES, status.state), status.status.error_message)
            for status in statuses
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
        labels = {label: at for label, at in served.labels.items() if at in there}
        first = Served(served.versions, labels)
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
        replicas = []
        for target in targets:
            # A proxy of the environment knows another localhost than ours.
            options = _NO_PROXY if target.startswith(_LOOPBACK) else ()
            channel = stack.enter_context(rpc.open_channel(target, tls, options))
            replicas.append(Replica(target, channel))
        yield replicas


def read_golden(data: bytes | None, model: str, limit: int) -> list[Any]:
    """The first PredictRequests of a file of warm-up requests.

    Args:
        data: the file's bytes, None if there is none.
        model: under which the version is served.
        limit: how many at most.

    Raises:
        RefusedError: there are none, or they are of another model, which no server would play.
    """
    requests: list[Any] = []
    try:
        for record in read_records(data or b""):
            log = message("tensorflow.serving.PredictionLog").FromString(record)
            if log.WhichOneof("log_type") == "predict_log" and len(requests) < limit:
                requests.append(log.predict_log.request)
    except (DecodeError, ValueError) as error:
        raise RefusedError(f"The version's warm-up requests cannot be read: {error}.") from error
    if not requests:
        raise RefusedError(
            "The version brings no warm-up requests, so nothing is known that it must answer."
            " Assemble it with `sortline infra-validate`."
        )
    if (name := requests[0].model_spec.name) != model:
        raise RefusedError(
            f"The version's warm-up requests are for the model {name!r}, and promote.model_name is"
            f" {model!r}: no server would play them. Set it, then `sortline infra-validate`."
        )
    return requests


def asked(request: Any, *, version: int | None = None, label: str | None = None) -> Any:
    """A copy of a request that asks for one version, by number or by label."""
    copy = message("tensorflow.serving.PredictRequest")()
    copy.CopyFrom(request)
    if version is not None:
        copy.model_spec.version.value = version
    if label is not None:
        copy.model_spec.version_label = label
    return copy


def judge(response: Any, version: int) -> Probabilities:
    """The probabilities [N, C] in an answer, which must make sense.

    Raises:
        RefusedError: another version answered, or what it says are no probabilities.
    """
    if (answered := response.model_spec.version.value) != version:
        raise RefusedError(f"version {answered} answered, not {version}")
    try:
        values = from_proto(response.outputs["probabilities"]).astype(np.float64)
        valid = from_proto(response.outputs["valid"]).astype(bool)
    except (DataError, ValueError) as error:
        raise RefusedError(f"its answer cannot be read: {error}") from error
    if values.ndim != 2 or valid.shape != values.shape[:1] or not len(values):
        raise RefusedError(f"it answers with shapes {values.shape} and {valid.shape}")
    if not np.isfinite(values).all():
        raise RefusedError("it answers with probabilities that are no numbers")
    if not valid.all():
        raise RefusedError(f"it finds {int((~valid).sum())} of {len(valid)} golden images invalid")
    if (values < 0).any() or np.abs(values.sum(axis=1) - 1).max() > _SUM_TOLERANCE:
        raise RefusedError("it answers with probabilities that do not add up to 1")
    return values


def _ask(
    replica: Replica, requests: Sequence[Any], version: int, timeout_s: float
) -> list[Probabilities]:
    try:
        return [judge(replica.predict(request, timeout_s), version) for request in requests]
    except (RefusedError, ServingError) as error:
        raise RefusedError(
            f"Version {version} does not answer as it must. {replica.target}: {error}"
        ) from error


def probe(
    replicas: Sequence[Replica],
    golden: Sequence[Any],
    version: int,
    timeout_s: float,
    label: str | None = None,
) -> None:
    """Ask every replica every golden request, by number or by label.

    Raises:
        RefusedError: an answer is missing or makes no sense, or two replicas do not agree; the
            message names the replica.
    """
    number = version if label is None else None
    requests = [asked(request, version=number, label=label) for request in golden]
    first: list[Probabilities] = []
    for replica in replicas:
        answers = _ask(replica, requests, version, timeout_s)
        first = first or answers
        for mine, theirs in zip(answers, first, strict=True):
            if mine.shape != theirs.shape or np.abs(mine - theirs).max() > _REPLICA_TOLERANCE:
                raise RefusedError(
                    f"{replica.target} and {replicas[0].target} answer a golden request"
                    f" differently, both as version {version}. Do they read the same store?"
                )
