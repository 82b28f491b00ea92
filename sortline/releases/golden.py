"""Golden requests: those that warm a version up, asked again, and what an answer has to be like."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from sortline.client.messages import message
from sortline.client.tensors import from_proto
from sortline.core.errors import DataError, RefusedError, ServingError
from sortline.core.tfrecord import read_records
from sortline.releases.endpoints import Replica

Probabilities = npt.NDArray[np.float64]

_SUM_TOLERANCE: Final = 1e-3
# Between machines: other instructions add float32 in another order.
_REPLICA_TOLERANCE: Final = 1e-3


def read_golden(data: bytes | None, model: str, limit: int) -> list[Any]:
    """The first PredictRequests of a file of warm-up requests.

    Args:
        data: the file's bytes, None if there is none.
        model: under which the version is served.
        limit: how many at most.

    Raises:
        RefusedError: there are none, or they are of another model, which no server would play.
    """
    found: list[Any] = []
    try:
        for record in read_records(data or b""):
            log = message("tensorflow.serving.PredictionLog").FromString(record)
            if log.WhichOneof("log_type") == "predict_log" and len(found) < limit:
                found.append(log.predict_log.request)
    except (DecodeError, ValueError) as error:
        raise RefusedError(f"The version's warm-up requests cannot be read: {error}.") from error
    if not found:
        raise RefusedError(
            "The version brings no warm-up requests, so nothing is known that it must answer."
            " Assemble it with `sortline infra-validate`."
        )
    if (name := found[0].model_spec.name) != model:
        raise RefusedError(
            f"The version's warm-up requests are for the model {name!r}, and promote.model_name is"
            f" {model!r}: no server would play them. Set it, then `sortline infra-validate`."
        )
    return found


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
    if (found := response.model_spec.version.value) != version:
        raise RefusedError(f"version {found} answered, not {version}")
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
        return [judge(replica.predict(each, timeout_s), version) for each in requests]
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
    requests = [asked(each, version=number, label=label) for each in golden]
    first: list[Probabilities] = []
    for replica in replicas:
        found = _ask(replica, requests, version, timeout_s)
        first = first or found
        for mine, theirs in zip(found, first, strict=True):
            if mine.shape != theirs.shape or np.abs(mine - theirs).max() > _REPLICA_TOLERANCE:
                raise RefusedError(
                    f"{replica.target} and {replicas[0].target} answer a golden request"
                    f" differently, both as version {version}. Do they read the same store?"
                )
