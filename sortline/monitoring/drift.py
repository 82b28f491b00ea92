"""Whether the answers given lately are those of the test split.

Compares the classes answered, and the confidence of the valid answers, in a window of the
prediction log with evaluation's, by the population stability index. Too few images are a verdict of
their own: neither stable nor drifted. A drift is an alert; whether a retraining has anything to
learn from is for drift_command.py.

index = sum over bins of (window - reference) * ln(window / reference), with shares of either. It
comes from credit scoring (Siddiqi, "Credit Risk Scorecards", Wiley 2006), and so do the customary
limits: below 0.1 little has changed, from 0.25 on the population is another one. Without any change
it is about chi-squared with B - 1 degrees of freedom times (1 / window + 1 / reference), for B bins
and so many rows (Yurdakul, "Statistical Properties of Population Stability Index", 2018): chance
alone gives a small window a large index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from sortline.core.errors import DataError, ParamsError
from sortline.core.files import require
from sortline.core.log_files import prediction_files, read_tables
from sortline.core.paths import Paths
from sortline.core.refusal import REFUSED_IN_TABLES
from sortline.core.storage import Storage
from sortline.evaluation.metrics import Floats, Ints
from sortline.monitoring.settings import Drift as Settings

_PREDICTIONS: Final = "predictions.parquet"
_COLUMNS: Final = ("time", "model", "version", "sha256", "label", "probabilities", "valid")
LITTLE: Final = 0.1
LARGE: Final = 0.25
Shift = Literal["little", "moderate", "large"]
# Added to every bin's count: an empty bin would make the index infinite, and a fixed tiny share in
# its place would make the index a matter of that share. Half a row is Jeffreys' prior, the estimate
# of Krichevsky and Trofimov (1981): it vanishes as rows come.
PRIOR: Final = 0.5
Verdict = Literal["stable", "drift", "too few"]
EXIT_CODES: Final[dict[Verdict, int]] = {"stable": 0, "drift": 4, "too few": 5}


@dataclass(frozen=True)
class Bin:
    """A bin of an index.

    Attributes:
        name: for people.
        reference: its share there, as counted.
        window: its share there, as counted; 0 in an empty window.
        part: what it adds to the index.
    """

    name: str
    reference: float
    window: float
    part: float


@dataclass(frozen=True)
class Index:
    """A population stability index: 0 for equal shares, without an upper bound."""

    index: float
    shift: Shift
    bins: tuple[Bin, ...]


def _smoothed(counts: Ints) -> Floats:
    return np.asarray((counts + PRIOR) / (counts.sum() + PRIOR * counts.size))


def stability(reference: npt.ArrayLike, window: npt.ArrayLike, names: Sequence[str]) -> Index:
    """Compare the counts of bins [B] in a reference with those in a window.

    Raises:
        ValueError: the three do not have the same bins.
    """
    before, now = np.asarray(reference, np.int64), np.asarray(window, np.int64)
    if not before.shape == now.shape == (len(names),) or not names:
        raise ValueError(f"counts {before.shape} and {now.shape} are not of the same bins")
    was, is_now = _smoothed(before), _smoothed(now)
    parts = (is_now - was) * np.log(is_now / was)
    shares = (before / max(1, before.sum()), now / max(1, now.sum()), parts)
    bins = (Bin(*row) for row in zip(names, *(share.tolist() for share in shares), strict=True))
    index = float(parts.sum())
    shift: Shift = "little" if index < LITTLE else "moderate" if index < LARGE else "large"
    return Index(index, shift, tuple(bins))


def quantile_edges(values: npt.ArrayLike, bins: int) -> Floats:
    """Inner edges, at most `bins` - 1, between bins (a, b] of equal numbers of these values [N].

    Where many values are the same, there are fewer: no bin is empty.
    """
    array = np.asarray(values, np.float64)
    if array.size == 0:
        return np.zeros(0)
    inner = np.quantile(array, np.arange(1, bins) / bins, method="inverted_cdf")
    return np.unique(inner[inner < array.max()])


def counts_between(values: npt.ArrayLike, edges: Floats) -> Ints:
    """How many of the values [N] lie in each of the bins [E + 1] that the inner edges [E] make."""
    at = np.searchsorted(edges, np.asarray(values, np.float64), side="left")
    return np.bincount(at, minlength=edges.size + 1).astype(np.int64)


@dataclass(frozen=True)
class Window:
    """Which rows of a log are looked at: `since` <= time < `until`, in UTC; None: no limit.

    Raises:
        ParamsError: no time is between them.
    """

    since: datetime | None = None
    until: datetime | None = None
    version: int | None = None

    def __post_init__(self) -> None:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ParamsError(
                f"No time is from {self.since.isoformat()} on and before {self.until.isoformat()}:"
                " --since has to be the earlier one."
            )


def parse_time(text: str | None) -> datetime | None:
    """A time in ISO 8601, in UTC; without an offset it is UTC already.

    Raises:
        ParamsError: it is something else.
    """
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ParamsError(
            f"{text!r} is no time; write it as 2026-11-21, 2026-11-21T18:00 or"
            " 2026-11-21T18:00+01:00 (without an offset: UTC)."
        ) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


@dataclass(frozen=True)
class Answers:
    """What a model answered for N images, each once.

    Attributes:
        images: their SHA-256, in hex [N].
        classes: the labels it knows, and `REFUSED_IN_TABLES` last.
        answered: one of those for each image [N].
        confidence: the largest probability of each valid answer [M].
    """

    images: Sequence[str]
    classes: tuple[str, ...]
    answered: Sequence[str]
    confidence: Sequence[float]

    def counts(self, classes: tuple[str, ...]) -> Ints:
        """Counts of answers, in the order of `classes`."""
        counts = pd.Series(self.answered, dtype=object).value_counts()
        return np.array([int(counts.get(name, 0)) for name in classes], np.int64)


@dataclass(frozen=True)
class WindowFacts:
    """The window: where it is, what is in it.

    Attributes:
        log: its address.
        since, until: what was asked for, ISO 8601.
        first, last: times of its rows; None when there is none.
        answers: rows.
        images: different ones of each version.
        versions: rows by model and version, as in "sortline 3".
    """

    log: str
    since: str | None
    until: str | None
    first: str | None
    last: str | None
    answers: int
    images: int
    versions: dict[str, int]


@dataclass(frozen=True)
class Judgement:
    """The verdict, with all it rests on.

    Attributes:
        verdict: stable, drift or too few.
        reason: of the verdict, for a person.
        threshold: past which an index is a drift.
        min_images: below which there is no verdict but "too few".
        window: what was looked at.
        reference_images: of the test split.
        by_class: of the classes answered.
        by_confidence: of the confidence of valid answers.
    """

    verdict: Verdict
    reason: str
    threshold: float
    min_images: int
    window: WindowFacts
    reference_images: int
    by_class: Index
    by_confidence: Index


def read_reference(folder: Path) -> tuple[Path, Answers]:
    """Answers on the test split, from a run's folder or its `reports/evaluation`; and that run's.

    Raises:
        ArtifactError: they are not there.
        DataError: they cannot be read.
    """
    file = Paths(folder).reports / "evaluation" / _PREDICTIONS
    if not file.is_file():
        file = require(folder / _PREDICTIONS, "dvc repro evaluate")
    try:
        rows = pd.read_parquet(file)
        valid = rows["valid"].to_numpy(bool)
        names = [str(name) for name in rows.columns]
        labels = tuple(name.removeprefix("p_") for name in names if name.startswith("p_"))
        # The largest, as of the log: with a threshold, `probability` may be the smaller one's.
        confidence = rows.loc[valid, [f"p_{label}" for label in labels]].max(axis=1).tolist()
        return _root_of(file.resolve()), Answers(
            rows["sha256"].tolist(),
            (*labels, REFUSED_IN_TABLES),
            rows["predicted"].tolist(),
            confidence,
        )
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{file} cannot be read: {error}. Run `dvc repro evaluate`.") from error


def _root_of(file: Path) -> Path:
    inside = file.parent.parts[-2:] == ("reports", "evaluation")
    return file.parents[2] if inside else file.parent


def _rows(store: Storage, window: Window) -> pd.DataFrame:
    parts = []
    for table in read_tables(store, prediction_files(store, window.since), _COLUMNS):
        rows = table.to_pandas()
        keep = np.ones(len(rows), bool)
        if window.since is not None:
            keep &= (rows["time"] >= window.since).to_numpy()
        if window.until is not None:
            keep &= (rows["time"] < window.until).to_numpy()
        if window.version is not None:
            keep &= (rows["version"] == window.version).to_numpy()
        rows = rows[keep]
        confidence = [max(shares, default=0.0) for shares in rows["probabilities"]]
        parts.append(rows.drop(columns="probabilities").assign(confidence=confidence))
    columns = [*(name for name in _COLUMNS if name != "probabilities"), "confidence"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def read_window(store: Storage, window: Window) -> tuple[WindowFacts, Answers]:
    """The rows of a window; of rows with the same image and version, one counts.

    Raises:
        DataError: a file of the log cannot be read.
        ArtifactError: the log cannot be read.
    """
    rows = _rows(store, window)
    once = rows.drop_duplicates(["model", "version", "sha256"])
    valid = once["valid"].to_numpy(bool)
    answered = np.where(valid, once["label"], REFUSED_IN_TABLES).tolist()
    labels = tuple(sorted(set(answered) - {REFUSED_IN_TABLES}))
    first, last = (rows["time"].min(), rows["time"].max()) if len(rows) else (None, None)
    counts = rows.groupby(["model", "version"]).size()
    seen = WindowFacts(
        log=store.address,
        since=window.since.isoformat() if window.since else None,
        until=window.until.isoformat() if window.until else None,
        first=first.isoformat() if first else None,
        last=last.isoformat() if last else None,
        answers=len(rows),
        images=len(once),
        versions={
            " ".join(map(str, key)): int(n) for key, n in zip(counts.index, counts, strict=True)
        },
    )
    confidence = once["confidence"][valid].tolist()
    return seen, Answers(
        once["sha256"].tolist(), (*labels, REFUSED_IN_TABLES), answered, confidence
    )


def _by_class(reference: Answers, window: Answers) -> Index:
    """Of the classes answered; images that could not be read are one more class."""
    if strange := sorted(set(window.classes) - set(reference.classes)):
        raise DataError(
            f"The log has answers of the class {', '.join(strange)}, which the reference's model"
            " does not know: it is of another model. Name its evaluation by --reference, or the"
            " version that it is of by --version."
        )
    names = reference.classes
    return stability(reference.counts(names), window.counts(names), names)


def _by_confidence(reference: Answers, window: Answers, bins: int) -> Index:
    """Of the confidence of valid answers, in bins that are quantiles of the reference."""
    edges = quantile_edges(reference.confidence, bins)
    names = [f"{low:.3f} to {high:.3f}" for low, high in pairwise([0.0, *edges.tolist(), 1.0])]
    before, now = (counts_between(answers.confidence, edges) for answers in (reference, window))
    return stability(before, now, names)


def judge(reference: Answers, seen: WindowFacts, window: Answers, settings: Settings) -> Judgement:
    """Compare a window with the reference.

    Raises:
        DataError: they are of different models.
    """
    by_class = _by_class(reference, window)
    by_confidence = _by_confidence(reference, window, settings.confidence_bins)
    worst = max(by_class.index, by_confidence.index)
    smallest = min(len(reference.images), len(window.images))
    if smallest < settings.min_images:
        verdict: Verdict = "too few"
        of = "the window" if len(window.images) <= len(reference.images) else "the reference"
        reason = f"{smallest} images in {of}; it takes {settings.min_images} (drift.min_images)"
    else:
        verdict = "drift" if worst > settings.threshold else "stable"
        by = "class" if by_class.index >= by_confidence.index else "confidence"
        reason = f"index {worst:.3f} by {by}; a drift from {settings.threshold:g} on"
    return Judgement(
        verdict,
        reason,
        settings.threshold,
        settings.min_images,
        seen,
        len(reference.images),
        by_class,
        by_confidence,
    )
