"""`sortline drift`: the verdict, and whether a retraining would have anything to learn.

Without data that the model has not seen, a retraining would end where the last one did: then the
alert is for a person.
"""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sortline.core.dvc import first_out, read_pin
from sortline.core.errors import DataError, ParamsError
from sortline.core.label_files import known_labels
from sortline.core.log_files import open_log
from sortline.core.params import load_params, read_yaml
from sortline.core.paths import Paths
from sortline.core.storage import Storage
from sortline.evaluation.metrics import rounded
from sortline.monitoring.drift import (
    EXIT_CODES,
    Index,
    Judgement,
    Window,
    judge,
    read_reference,
    read_window,
)
from sortline.monitoring.settings import Drift as Settings
from sortline.monitoring.settings import DriftParams


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

    judgement: Judgement
    retrain: bool
    retrain_reason: str

    def to_json(self) -> dict[str, Any]:
        """All of it, flat, shares and indices to six decimals."""
        decision = {"retrain": self.retrain, "retrain_reason": self.retrain_reason}
        content = asdict(self.judgement)
        first = {key: content.pop(key) for key in ("verdict", "reason")}
        flat: dict[str, Any] = rounded({**first, **decision, **content})
        return flat


@dataclass(frozen=True)
class Evidence:
    """What is known of new data.

    Attributes:
        claimed: somebody says that there is some.
        before: MD5 of the dataset that the model learned from; None: not known.
        now: MD5 of the dataset that data.dvc pins now; None: there is none here.
        labelled: images of the window with a label that were in no training.
        needed: of those, at least.
    """

    claimed: bool
    before: str | None
    now: str | None
    labelled: int
    needed: int


def decide(drifted: bool, evidence: Evidence) -> tuple[bool, str]:
    """Whether to retrain, and why."""
    if not drifted:
        return False, "there is no drift"
    if evidence.claimed:
        return True, "there is new data, as --new-data says"
    if evidence.now and evidence.before and evidence.now != evidence.before:
        return True, f"data.dvc pins {evidence.now}; the model learned from {evidence.before}"
    if evidence.labelled >= evidence.needed:
        return True, (
            f"{evidence.labelled} labelled images of the window were in no training: bring them in"
            " by `sortline ingest --add` first"
        )
    data = "data.dvc pins what the model learned from"
    if not (evidence.now and evidence.before):
        data = "what the model learned from is not known (--lineage)"
    return False, (
        f"there is nothing new to learn from: {data}, and {evidence.labelled} labelled images of"
        f" the window are new, of {evidence.needed} that it takes (drift.min_new_labels)"
    )


def _pinned(content: Any) -> str | None:
    """The dataset's MD5 in a data.dvc, a dvc.lock or a lineage.json; None when it has none."""
    try:
        if "made" in content:
            digest = content["made"]["data"]
        elif "stages" in content:
            deps = content["stages"]["validate"]["deps"]
            digest = next(dep["md5"] for dep in deps if dep["path"] == "data")
        else:
            digest = first_out(content)["md5"]
    except (KeyError, IndexError, TypeError, StopIteration):
        return None
    return str(digest) if digest else None


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".json":
            return json.loads(path.read_text(encoding="utf-8"))
        return read_yaml(path)
    except (OSError, ValueError, ParamsError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def learned_from(lineage: Path | None, root: Path) -> str | None:
    """MD5 of the dataset of a model; None when it cannot be known.

    Args:
        lineage: its lineage.json, or a data.dvc.
        root: where its reports are, if no lineage is given: dvc.lock there says what they were
            made from, or data.dvc when that is not there.

    Raises:
        DataError: a file cannot be read, or the lineage names no dataset.
    """
    if lineage is not None:
        digest = _pinned(_read(lineage))
        if digest is None:
            raise DataError(
                f"{lineage} names no dataset; give the version's assets.extra/lineage.json, or the"
                " data.dvc that its model was trained on."
            )
        return digest
    files = (root / "dvc.lock", root / "data.dvc")
    return next((_pinned(_read(file)) for file in files if file.is_file()), None)


def pinned_now(root: Path) -> str | None:
    """MD5 of the dataset that data.dvc pins; None when there is no such file."""
    file = root / "data.dvc"
    return read_pin(file).digest if file.is_file() else None


def unseen(images: Collection[str], labels: Collection[str], root: Path) -> int:
    """How many of these images have a label and are not in the manifest below `root`, if any."""
    labelled = set(images) & set(labels)
    manifest = Paths(root).manifest
    if labelled and manifest.is_file():
        labelled -= set(pd.read_parquet(manifest, columns=["sha256"])["sha256"])
    return len(labelled)


def look(store: Storage, asked: Asked, settings: Settings, root: Path) -> Outcome:
    """Judge a window of a log, and look for new data below `root`.

    Raises:
        DataError, ArtifactError: something cannot be read, or does not fit.
    """
    folder, reference = read_reference(asked.reference)
    seen, window = read_window(store, asked.window)
    if asked.threshold is not None:
        settings = settings.model_copy(update={"threshold": asked.threshold})
    judgement = judge(reference, seen, window, settings)
    evidence = Evidence(
        claimed=asked.new_data,
        before=learned_from(asked.lineage, folder),
        now=pinned_now(root),
        labelled=unseen(window.images, known_labels(store), folder),
        needed=settings.min_new_labels,
    )
    return Outcome(judgement, *decide(judgement.verdict == "drift", evidence))


def _table(title: str, index: Index) -> Table:
    drawn = Table(
        title=f"By {title}: index {index.index:.3f}, {index.shift} shift",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    drawn.add_column(title)
    for column in ("reference", "window", "adds"):
        drawn.add_column(column, justify="right")
    for bin_ in index.bins:
        cells = (f"{bin_.reference:.1%}", f"{bin_.window:.1%}", f"{bin_.part:.3f}")
        drawn.add_row(bin_.name, *cells)
    return drawn


def _print(outcome: Outcome) -> None:
    judgement, window = outcome.judgement, outcome.judgement.window
    print(f"{judgement.verdict}: {judgement.reason}")
    print(
        f"{window.answers:,} answers to {window.images:,} images in {window.log}, from"
        f" {window.first or '-'} to {window.last or '-'}; reference: {judgement.reference_images:,}"
    )
    if len(window.versions) > 1:
        mixed = ", ".join(f"{name} ({count:,})" for name, count in window.versions.items())
        print(f"Several versions answered: {mixed}. --version N asks of one.")
    indices = (("class", judgement.by_class), ("confidence", judgement.by_confidence))
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
    settings = load_params(DriftParams, Paths(root).params).drift
    with open_log(address) as store:
        outcome = look(store, asked, settings, root)
    if as_json:
        print(json.dumps(outcome.to_json(), indent=2, ensure_ascii=False))
    else:
        _print(outcome)
    return EXIT_CODES[outcome.judgement.verdict]
