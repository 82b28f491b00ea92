"""Gates: every file of this folder and of plugins/gates/ adds one, or some.

    @gate("max_size_mb", setting=Annotated[float, Field(gt=0.0)])
    def max_size_mb(cap: float, candidate: Candidate) -> Verdict:
        return at_most("max_size_mb", candidate.size_mb, cap, "files of the model")

`gate.NAME` in params.yaml holds its setting; null: the gate is not asked. Whether a candidate is no
worse than the champion is asked besides, by verdicts.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sortline.core.registry import Registry

if TYPE_CHECKING:
    import pandas as pd

SCANNED_FOR: Final = "gate.*"

Value = float | str | list[str] | None


@dataclass(frozen=True)
class Verdict:
    """One gate's answer; `reason` says it in words, with its error bar where there is one."""

    gate: str
    passed: bool
    observed: Value
    required: Value
    reason: str


@dataclass(frozen=True)
class Candidate:
    """What is known of the exported model.

    Attributes:
        folder: its SavedModel.
        digest: its `model_digest`.
        size_mb: of all its files, 10^6 bytes each.
        metrics: the contents of metrics.json.
        latency: the contents of latency.json.
        rows: the rows of predictions.parquet.
    """

    folder: Path
    digest: str
    size_mb: float
    metrics: dict[str, Any]
    latency: dict[str, Any]
    rows: "pd.DataFrame"


Judge = Callable[[Any, Candidate], Verdict]
"""From the gate's setting, never null, and the candidate to what the gate says."""


@dataclass(frozen=True)
class Gate:
    """A registered gate: the type of its setting, with its range, and what judges."""

    setting: Any
    judge: Judge


GATES: Final = Registry[Gate](__name__)


def gate(name: str, *, setting: Any) -> Callable[[Judge], Judge]:
    """Register a gate."""

    def mark(judge: Judge) -> Judge:
        GATES.add(name, Gate(setting, judge), judge.__module__)
        return judge

    return mark


def at_least(name: str, observed: float, floor: float, reason: str) -> Verdict:
    """Passed if `observed` reaches the floor."""
    return Verdict(name, observed >= floor, observed, floor, reason)


def at_most(name: str, observed: float, cap: float, reason: str) -> Verdict:
    """Passed if `observed` does not exceed the cap."""
    return Verdict(name, observed <= cap, observed, cap, reason)


def with_interval(share: float, interval: Sequence[float]) -> str:
    """A share and its error bar, e.g. `0.927 (95 %: 0.915 to 0.938)`."""
    low, high = interval
    return f"{share:.3f} (95 %: {low:.3f} to {high:.3f})"
