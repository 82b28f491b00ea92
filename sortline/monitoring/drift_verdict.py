"""Whether the answers given lately are those of the test split.

Compares the classes answered, and the confidence of the valid answers, by the population stability
index (models/stability.py). Too few images are a verdict of their own: neither stable nor drifted.
A drift is an alert; whether a retraining has anything to learn from is in learnable.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np
import pandas as pd

from sortline.core.errors import DataError
from sortline.core.params import Drift as Settings
from sortline.evaluation.metrics import Ints
from sortline.evaluation.stability import (
    Shift,
    Stability,
    counts_between,
    quantile_edges,
    stability,
)

INVALID: Final = "(invalid)"  # As in predictions.parquet: the model could not read the image.
Verdict = Literal["stable", "drift", "too few"]
EXIT_CODES: Final[dict[Verdict, int]] = {"stable": 0, "drift": 4, "too few": 5}


@dataclass(frozen=True)
class Answers:
    """What a model said of N images, each once.

    Attributes:
        images: their SHA-256, in hex [N].
        classes: the labels it knows, and `INVALID` last.
        said: one of those for each image [N].
        confidence: the largest probability of each valid answer [M].
    """

    images: Sequence[str]
    classes: tuple[str, ...]
    said: Sequence[str]
    confidence: Sequence[float]

    def by_class(self, classes: tuple[str, ...]) -> Ints:
        """Counts of answers, in the order of `classes`."""
        counts = pd.Series(self.said, dtype=object).value_counts()
        return np.array([int(counts.get(name, 0)) for name in classes], np.int64)


@dataclass(frozen=True)
class Bin:
    """A bin of an index: its name, its share on both sides, and what it adds."""

    name: str
    reference: float
    window: float
    part: float


@dataclass(frozen=True)
class Index:
    """A population stability index, in the customary words, bin by bin."""

    index: float
    shift: Shift
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Seen:
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
class Found:
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
    window: Seen
    reference_images: int
    by_class: Index
    by_confidence: Index


def _index(found: Stability, names: Sequence[str]) -> Index:
    columns = (found.reference.tolist(), found.window.tolist(), found.parts.tolist())
    bins = (Bin(*each) for each in zip(names, *columns, strict=True))
    return Index(found.index, found.shift, tuple(bins))


def index_by_class(reference: Answers, window: Answers) -> Index:
    """Of the classes answered; images that could not be read are one more class.

    Raises:
        DataError: the window names a class that the reference does not know.
    """
    if strange := sorted(set(window.classes) - set(reference.classes)):
        raise DataError(
            f"The log has answers of the class {', '.join(strange)}, which the reference's model"
            " does not know: it is of another model. Name its evaluation by --reference, or the"
            " version that it is of by --version."
        )
    classes = reference.classes
    return _index(stability(reference.by_class(classes), window.by_class(classes)), classes)


def index_by_confidence(reference: Answers, window: Answers, bins: int) -> Index:
    """Of the confidence of valid answers, in bins that are quantiles of the reference."""
    edges = quantile_edges(reference.confidence, bins)
    ends = [0.0, *edges.tolist(), 1.0]
    names = [f"{low:.3f} to {high:.3f}" for low, high in pairwise(ends)]
    counts = (counts_between(each.confidence, edges) for each in (reference, window))
    return _index(stability(*counts), names)


def judge(reference: Answers, seen: Seen, window: Answers, settings: Settings) -> Found:
    """Compare a window with the reference.

    Raises:
        DataError: they are of different models.
    """
    by_class = index_by_class(reference, window)
    by_confidence = index_by_confidence(reference, window, settings.confidence_bins)
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
    return Found(
        verdict,
        reason,
        settings.threshold,
        settings.min_images,
        seen,
        len(reference.images),
        by_class,
        by_confidence,
    )
