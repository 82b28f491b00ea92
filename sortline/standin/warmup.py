"""Plays the requests that a version brings along, before anybody else's.

`assets.extra/tf_serving_warmup_requests` is a TFRecord of PredictionLog. A record for another model
or another signature is left out and said; the real server plays the former under its own name and
refuses to load the version over the latter.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import tensorflow as tf
from google.protobuf.message import DecodeError

from sortline.client.messages import message
from sortline.client.server_status import invalid, status_of
from sortline.serving.version_folder import MAX_RECORDS, WARMUP
from sortline.standin import inference
from sortline.standin.loading import Servable

_ANSWERS: Final = {
    "predict_log": inference.predict,
    "classify_log": inference.classify,
    "regress_log": inference.regress,
}


def _records(path: Path) -> Iterator[bytes]:
    for at, record in enumerate(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()):
        if at == MAX_RECORDS:
            raise invalid(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}")
        yield record


def warm_up(servable: Servable, folder: Path, say: Callable[[str], None]) -> int:
    """Play all records; how many were.

    Raises:
        StatusError: there are too many.
        tf.errors.DataLossError: the file is damaged.
    """
    path = folder / WARMUP
    if not path.is_file():
        return 0
    start = time.monotonic()
    played = 0
    for at, record in enumerate(_records(path)):
        if fault := _play(servable, record):
            say(f"warm-up record {at} of {path} is left out: {fault}")
        else:
            played += 1
    # The words of the real server's line, so that one reader does for both.
    say(
        f"Finished reading warmup data for model at {path}. Number of warmup records read:"
        f" {played}. Elapsed time (microseconds): {int((time.monotonic() - start) * 1e6)}."
    )
    return played


def _play(servable: Servable, record: bytes) -> str:
    try:
        log = message("tensorflow.serving.PredictionLog").FromString(record)
    except DecodeError:
        return "it is no PredictionLog"
    kind = log.WhichOneof("log_type")
    if kind not in _ANSWERS:
        return f"it is a {kind or 'log of nothing'}, which this stand-in does not play"
    request: Any = getattr(log, kind).request
    name = request.model_spec.name
    if name and name != servable.name:
        return f"it is for the model {name}, and this is {servable.name}"
    try:
        _ANSWERS[kind](servable, request)
    except Exception as error:
        return status_of(error).details
    return ""
