"""`sortline drift`: the verdict for people and for schedulers."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sortline.core.label_files import known_labels
from sortline.core.log_files import open_log
from sortline.core.params import Drift as Settings
from sortline.core.params import load_params
from sortline.core.paths import Paths
from sortline.core.storage import Storage
from sortline.monitoring.drift_sources import Window, read_reference, read_window
from sortline.monitoring.drift_verdict import EXIT_CODES, Found, Index, judge
from sortline.monitoring.learnable import (
    Evidence,
    decide,
    learned_from,
    pinned_now,
    unseen,
)

_DECIMALS = 6


@dataclass(frozen=True)
class Asked:
    """What the command line says.

    Attributes:
        reference: a run's folder, or its `reports/evaluation`.
        window: of the log.
        threshold: instead of `drift.threshold`; None: that.
        lineage: what the model learned from; None: what lies beside the reference.
        new_data: whether there is new data, whatever the files say.
    """

    reference: Path
    window: Window
    threshold: float | None
    lineage: Path | None
    new_data: bool


@dataclass(frozen=True)
class Outcome:
    """What is printed as JSON: the verdict, and whether a retraining is of use."""

    found: Found
    retrain: bool
    retrain_reason: str

    def to_json(self) -> dict[str, Any]:
        """All of it, flat, shares and indices to six decimals."""
        decision = {"retrain": self.retrain, "retrain_reason": self.retrain_reason}
        content = asdict(self.found)
        first = {key: content.pop(key) for key in ("verdict", "reason")}
        rounded: dict[str, Any] = _rounded({**first, **decision, **content})
        return rounded


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return round(value, _DECIMALS) if isinstance(value, float) else value


def look(store: Storage, asked: Asked, settings: Settings, root: Path) -> Outcome:
    """Judge a window of a log, and look for new data below `root`.

    Raises:
        DataError, ArtifactError: something cannot be read, or does not fit.
    """
    folder, reference = read_reference(asked.reference)
    seen, window = read_window(store, asked.window)
    if asked.threshold is not None:
        settings = settings.model_copy(update={"threshold": asked.threshold})
    found = judge(reference, seen, window, settings)
    evidence = Evidence(
        said=asked.new_data,
        before=learned_from(asked.lineage, folder),
        now=pinned_now(root),
        labelled=unseen(window.images, known_labels(store), folder),
        needed=settings.min_new_labels,
    )
    return Outcome(found, *decide(found.verdict == "drift", evidence))


def _table(title: str, found: Index) -> Table:
    drawn = Table(
        title=f"By {title}: index {found.index:.3f}, {found.shift} shift",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    drawn.add_column(title)
    for column in ("reference", "window", "adds"):
        drawn.add_column(column, justify="right")
    for each in found.bins:
        cells = (f"{each.reference:.1%}", f"{each.window:.1%}", f"{each.part:.3f}")
        drawn.add_row(each.name, *cells)
    return drawn


def _print(outcome: Outcome) -> None:
    found = outcome.found
    window = found.window
    print(f"{found.verdict}: {found.reason}")
    print(
        f"{window.answers:,} answers to {window.images:,} images in {window.log}, from"
        f" {window.first or '-'} to {window.last or '-'}; reference: {found.reference_images:,}"
    )
    if len(window.versions) > 1:
        mixed = ", ".join(f"{name} ({count:,})" for name, count in window.versions.items())
        print(f"Several versions answered: {mixed}. --version N asks of one.")
    indices = (("class", found.by_class), ("confidence", found.by_confidence))
    for title, index in indices if window.images else ():  # Of nothing, an index means nothing.
        Console().print(_table(title, index))
    print(f"retrain: {'yes' if outcome.retrain else 'no'}: {outcome.retrain_reason}")


def command(address: str, asked: Asked, *, as_json: bool) -> int:
    """`sortline drift`: print the outcome; the exit code of its verdict.

    Raises:
        ParamsError: params.yaml cannot be used, or the address is none.
        DataError, ArtifactError: see `look`.
    """
    root = Path.cwd()
    settings = load_params(Paths(root).params).drift
    store = open_log(address)
    try:
        outcome = look(store, asked, settings, root)
    finally:
        store.close()
    if as_json:
        print(json.dumps(outcome.to_json(), indent=2, ensure_ascii=False))
    else:
        _print(outcome)
    return EXIT_CODES[outcome.found.verdict]
