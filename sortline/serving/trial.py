"""Try a version out: a server loads it, and has to say of images what evaluation has said."""

import math
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sortline.core.errors import ServingError
from sortline.serving.both_doors import Answered, ask_grpc, ask_rest
from sortline.serving.local_server import running_server
from sortline.serving.server_choice import Models, Program

VERSION: Final = 1


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
class Trial:
    """What a server is to do.

    Attributes:
        version: the folder that it loads.
        records: warm-up requests in it.
        model: the name it is served under.
        timeout_s: for everything together.
        tolerance: largest difference of a probability that is none.
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


def compare(expected: Expected, answered: Answered, tolerance: float) -> tuple[float, str]:
    """The largest difference of a probability, and what is wrong with the answer ("" if nothing).

    Args:
        expected: by evaluation.
        answered: by the server.
        tolerance: what is no difference.
    """
    where = f"{expected.path} by {answered.door}"
    if len(expected.probabilities) != len(answered.probabilities):
        counts = f"{len(answered.probabilities)} probabilities, not {len(expected.probabilities)}"
        return math.inf, f"{where}: {counts}"
    apart = np.subtract(expected.probabilities, answered.probabilities)
    difference = float(np.abs(apart).max())  # NaN if one is; max() of Python would hide it.
    if answered.version not in (VERSION, None):
        return difference, f"{where}: answered by version {answered.version}, not {VERSION}"
    if answered.label != expected.label:
        return difference, f"{where}: {answered.label!r}, and evaluation said {expected.label!r}"
    if not difference <= tolerance:  # Also when it is no number.
        return difference, f"{where}: a probability differs by {difference:.2g}"
    return difference, ""


def _compare_all(
    expected: Sequence[Expected], answers: Iterable[Answered], tolerance: float
) -> tuple[float, list[str]]:
    pairs = zip(expected, answers, strict=True)
    found = [compare(each, answered, tolerance) for each, answered in pairs]
    largest = float(np.max([difference for difference, _ in found]))
    return largest, [fault for _, fault in found if fault]


def _ask(program: Program, trial: Trial, expected: Sequence[Expected]) -> Outcome:
    deadline = time.monotonic() + trial.timeout_s
    images = [each.image for each in expected]
    with tempfile.TemporaryDirectory(prefix="sortline-") as base_path:
        # A copy: a container could not follow a link out of the base path.
        shutil.copytree(trial.version, Path(base_path, str(VERSION)))
        models = Models(trial.model, Path(base_path))
        with running_server(models, timeout_s=trial.timeout_s, program=program) as server:
            found = [
                _compare_all(expected, ask(server, trial.model, images, deadline), trial.tolerance)
                for ask in (ask_grpc, ask_rest)
            ]
            warmed_up = server.log.warmup_records() == trial.records
    faults = [fault for _, listed in found for fault in listed]
    more = f"; and {len(faults) - 1} more" if len(faults) > 1 else ""
    largest = float(np.max([difference for difference, _ in found]))
    finite = largest if math.isfinite(largest) else None
    return Outcome(finite, warmed_up, f"{faults[0]}{more}" if faults else "")


def try_out(program: Program, trial: Trial, expected: Sequence[Expected]) -> Outcome:
    """Start a server on a copy of the version, ask it, stop it; its failures are the outcome."""
    try:
        return _ask(program, trial, expected)
    except ServingError as error:
        return Outcome(None, warmed_up=False, fault=str(error))
