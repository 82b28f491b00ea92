"""Infra validation: a real server serves the candidate, and says what evaluation has said.

Reads: artifacts/saved_model, reports/evaluation (predictions.parquet, metrics.json), and the raw
files of the test split.
Writes: artifacts/version (the model and the requests that warm it up, assembled anew) and
reports/infra_blessing.json.
Refuses: a server that does not start, does not load the model in time, or answers something else.
"""

import base64
import json
import math
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

import grpc
import numpy as np
import pandas as pd

from sortline.client import rpc
from sortline.client.messages import PREDICTION_SERVICE
from sortline.client.tensors import from_proto
from sortline.core.errors import ArtifactError, RefusedError, ServingError
from sortline.core.files import (
    digest_tree,
    exclusive,
    read_json,
    read_verified,
    require,
    write_json,
)
from sortline.core.paths import Paths
from sortline.model.contract import verify
from sortline.serving.infra_blessing import InfraBlessing, Server, WarmUp
from sortline.serving.local_server import LOOPBACK, RunningServer, running_server
from sortline.serving.server_program import Models, Program, choose_program
from sortline.serving.settings import InfraValidate
from sortline.serving.version_folder import assemble, predict_request

VERSION: Final = 1
_EVALUATED: Final = "dvc repro evaluate"


@dataclass(frozen=True)
class Expected:
    """What evaluation has said of one file.

    Attributes:
        path: relative to the repository.
        image: its bytes.
        probabilities: in the order of the class ids.
    """

    path: str
    image: bytes
    label: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Answer:
    """What the server says of one image; `version` is None where the protocol does not tell.

    Attributes:
        protocol: gRPC or REST.
        probabilities: in the order of the class ids.
    """

    protocol: str
    label: str
    probabilities: tuple[float, ...]
    version: int | None


@dataclass(frozen=True)
class Trial:
    """What a server is to do.

    Attributes:
        version: the folder that it loads.
        records: warm-up requests in it.
        model: the name it is served under.
        timeout_s: for the whole trial.
        tolerance: of a probability; what differs by no more is equal.
    """

    version: Path
    records: int
    model: str
    timeout_s: float
    tolerance: float


@dataclass(frozen=True)
class Outcome:
    """What it did; `fault` is empty when that was right."""

    max_difference: float | None
    warmed_up: bool
    fault: str


def _time_left(deadline: float, target: str) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise ServingError("DEADLINE_EXCEEDED", target, f"{target} did not answer in time.")
    return left


def _not_an_answer(target: str, content: object) -> ServingError:
    text = f"{target} answers with something else than a label and probabilities: {content}"
    return ServingError("INTERNAL", target, text)


def _ask_grpc(target: str, trial: Trial, images: Sequence[bytes], deadline: float) -> list[Answer]:
    answers = []
    with rpc.open_channel(target, options=LOOPBACK) as channel:
        predict = rpc.method(channel, PREDICTION_SERVICE, "Predict")
        for image in images:
            request = predict_request([image], trial.model)
            try:
                response = predict(request, timeout=_time_left(deadline, target))
            except grpc.RpcError as error:
                raise rpc.explained(error, target) from error
            try:
                label = from_proto(response.outputs["label"])[0].decode()
                probabilities = from_proto(response.outputs["probabilities"])[0].tolist()
            except (IndexError, ValueError) as error:
                raise _not_an_answer(target, error) from error
            version = response.model_spec.version.value
            answers.append(Answer("gRPC", label, tuple(probabilities), version))
    return answers


def _post(target: str, model: str, body: str, timeout_s: float) -> tuple[int, str]:
    # http.client and not urllib: a proxy of the environment has no business here.
    connection = HTTPConnection(target, timeout=timeout_s)
    try:
        connection.request("POST", f"/v1/models/{model}:predict", body)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        raise ServingError("UNAVAILABLE", target, f"{target} (REST): {error}") from error
    finally:
        connection.close()


def _ask_rest(target: str, trial: Trial, images: Sequence[bytes], deadline: float) -> list[Answer]:
    answers = []
    for image in images:
        instance = {"image_bytes": {"b64": base64.b64encode(image).decode()}}
        body = json.dumps({"instances": [instance]})
        status, text = _post(target, trial.model, body, _time_left(deadline, target))
        if status != 200:
            raise ServingError("UNKNOWN", target, f"{target}: HTTP {status}: {text[:500]}")
        try:
            row = json.loads(text)["predictions"][0]
            probabilities = tuple(map(float, row["probabilities"]))
            answers.append(Answer("REST", row["label"], probabilities, None))
        except (ValueError, TypeError, LookupError) as error:
            raise _not_an_answer(target, text[:500]) from error
    return answers


def compare(expected: Expected, answer: Answer, tolerance: float) -> tuple[float, str]:
    """The largest difference of a probability, and what is wrong: "" if nothing is."""
    where = f"{expected.path} by {answer.protocol}"
    if len(expected.probabilities) != len(answer.probabilities):
        counts = f"{len(answer.probabilities)} probabilities, not {len(expected.probabilities)}"
        return math.inf, f"{where}: {counts}"
    apart = np.subtract(expected.probabilities, answer.probabilities)
    difference = float(np.abs(apart).max())  # NaN if one is; max() of Python would hide it.
    if answer.version not in (VERSION, None):
        return difference, f"{where}: answered by version {answer.version}, not {VERSION}"
    if answer.label != expected.label:
        return difference, f"{where}: {answer.label!r}, and evaluation said {expected.label!r}"
    if not difference <= tolerance:  # Also when it is no number.
        return difference, f"{where}: a probability differs by {difference:.2g}"
    return difference, ""


def _serve_and_ask(program: Program, trial: Trial, expected: Sequence[Expected]) -> Outcome:
    deadline = time.monotonic() + trial.timeout_s
    images = [file.image for file in expected]
    with tempfile.TemporaryDirectory(prefix="sortline-") as base_path:
        # A copy: a container could not follow a link out of the base path.
        shutil.copytree(trial.version, Path(base_path, str(VERSION)))
        models = Models(trial.model, Path(base_path))
        with running_server(models, timeout_s=trial.timeout_s, program=program) as server:
            answers = _ask_both(server, trial, images, deadline)
            warmed_up = server.log.warmup_records() == trial.records
    compared = [
        compare(file, answer, trial.tolerance)
        for file, answer in zip([*expected, *expected], answers, strict=True)
    ]
    largest = float(np.max([difference for difference, _ in compared]))
    faults = [fault for _, fault in compared if fault]
    more = f"; and {len(faults) - 1} more" if len(faults) > 1 else ""
    finite = largest if math.isfinite(largest) else None
    return Outcome(finite, warmed_up, f"{faults[0]}{more}" if faults else "")


def _ask_both(
    server: RunningServer, trial: Trial, images: Sequence[bytes], deadline: float
) -> list[Answer]:
    """Answers [2 N]: through gRPC, then through REST."""
    return [
        *_ask_grpc(server.grpc, trial, images, deadline),
        *_ask_rest(server.rest, trial, images, deadline),
    ]


def try_out(program: Program, trial: Trial, expected: Sequence[Expected]) -> Outcome:
    """Start a server on a copy of the version, ask it, stop it; its failures are the outcome."""
    try:
        return _serve_and_ask(program, trial, expected)
    except ServingError as error:
        return Outcome(None, warmed_up=False, fault=str(error))


def spread(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most `count` rows, evenly spaced: every class has its turn, as paths begin with it."""
    at = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))
    return rows.iloc[at]


def read_evaluated(paths: Paths) -> pd.DataFrame:
    """Rows of predictions.parquet that have an answer, sorted by path.

    Raises:
        ArtifactError: they are missing, or of another model than the exported one, or none is left.
    """
    folder = paths.reports / "evaluation"
    table = require(folder / "predictions.parquet", _EVALUATED)
    measured = read_json(folder / "metrics.json", _EVALUATED)["model_digest"]
    if measured != (exported := verify(paths.saved_model)):
        raise ArtifactError(
            f"{folder} is of the model {measured[:12]}, not of {exported[:12]} in"
            f" {paths.saved_model}. Run `{_EVALUATED}`."
        )
    rows = pd.read_parquet(table)
    valid = rows[rows["valid"]].sort_values("path", ignore_index=True)
    if valid.empty:
        raise ArtifactError(f"{table} has no image that the model can read. Run `{_EVALUATED}`.")
    return valid


def _expected(rows: pd.DataFrame, data: Path) -> Iterator[Expected]:
    columns = [name for name in rows.columns if name.startswith("p_")]
    for row in rows.to_dict("records"):
        path = data / row["path"]
        image = read_verified(path, row["sha256"], was="evaluated", command=_EVALUATED)
        probabilities = tuple(float(row[name]) for name in columns)
        yield Expected(row["path"], image, row["predicted"], probabilities)


def run(
    settings: InfraValidate,
    model: str,
    serving_version: str,
    paths: Paths,
    data: Path | None = None,
) -> InfraBlessing:
    """Assemble the version, have it tried, and write what came of it.

    Args:
        settings: how it is tried.
        model: the name under which it is served.
        serving_version: of TensorFlow Serving, whose container is taken where there is no binary.
        paths: of the run that is validated.
        data: the folder that holds data/; that of `paths` if None.

    Raises:
        ArtifactError: evaluation has not seen the exported model.
        DataError: a file of the test split is not the one that was evaluated.
    """
    rows = read_evaluated(paths)
    root = data or paths.root
    warmup = [file.image for file in _expected(spread(rows, settings.warmup_records), root)]
    expected = list(_expected(spread(rows, settings.images), root))
    version = paths.root / "artifacts" / "version"
    digest = assemble(paths.saved_model, warmup, version, model)
    program = choose_program(f"tensorflow/serving:{serving_version}")
    trial = Trial(version, len(warmup), model, settings.timeout_s, settings.tolerance)
    outcome = try_out(program, trial, expected)
    blessing = InfraBlessing(
        blessed=not outcome.fault,
        model_digest=digest,
        version_digest=digest_tree(version),
        server=Server(kind=program.kind, version=program.version),
        warmup=WarmUp(records=len(warmup), ran=outcome.warmed_up),
        images=len(expected),
        max_difference=outcome.max_difference,
        reason=outcome.fault
        or f"{len(expected)} images, each through gRPC and REST of {program.kind}: the labels that"
        f" evaluation gave, no probability further off than {outcome.max_difference:.2g}",
    )
    write_json(paths.reports / "infra_blessing.json", blessing.model_dump())
    return blessing


def command(root: Path, settings: InfraValidate, model: str, serving_version: str) -> None:
    """`sortline infra-validate`; see `run`.

    Args:
        root: what to validate: the repository, or runs/NAME, which has no data of its own.
        settings: how it is tried.
        model: the name under which it is served.
        serving_version: of TensorFlow Serving.

    Raises:
        RefusedError: the server does not serve this model as it was evaluated.
    """
    paths = Paths(root)
    data = root if paths.data.is_dir() else Path.cwd()
    with exclusive(root / ".sortline" / "infra_validate.lock", "Infra validation"):
        blessing = run(settings, model, serving_version, paths, data)
    if not blessing.blessed:
        raise RefusedError(f"not blessed: {blessing.reason}")
    print(f"infra_validate: blessed: {blessing.reason}")
