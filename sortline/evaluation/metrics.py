"""How good a classifier's answers are, and how sure that is: numpy only.

Everything that counts answers starts from one table, `counts` [..., C, C + 1]: rows are the true
classes, columns the predicted ones, and the last column holds images for which the model gave no
answer. Such an image is wrong: it lowers its class's recall and no class's precision.

A metric of such counts needs no images to be redrawn for its error bar (percentile bootstrap over
images, Efron 1979): the counts in a sample of N images drawn with replacement are multinomial, with
the observed shares. 2,000 samples of 2,000 images are then one call of a fraction of a second.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

ECE_BINS: Final = 15
CONFIDENCE: Final = 0.95
_DECIMALS: Final = 6


@dataclass(frozen=True)
class PerClass:
    """Precision, recall and F1 of every class [C], and its number of images."""

    precision: Floats
    recall: Floats
    f1: Floats
    support: Ints


def confusion_counts(labels: npt.ArrayLike, predicted: npt.ArrayLike, classes: int) -> Ints:
    """Count the pairs of true and predicted class, both [N], into `counts`.

    A prediction may be `REFUSED_CLASS_ID`.

    Raises:
        ValueError: a class id is outside of 0 to `classes` - 1.
    """
    rows, columns = np.asarray(labels, np.int64), np.asarray(predicted, np.int64)
    if rows.shape != columns.shape or rows.ndim != 1:
        raise ValueError(f"labels {rows.shape} and predictions {columns.shape} do not pair up")
    if ((rows < 0) | (rows >= classes)).any() or (columns >= classes).any():
        raise ValueError(f"a class id is outside of 0 to {classes - 1}")
    columns = np.where(columns < 0, classes, columns)
    cells = np.bincount(rows * (classes + 1) + columns, minlength=classes * (classes + 1))
    return cells.reshape(classes, classes + 1).astype(np.int64)


def _ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Floats:
    """`part / whole`, and 0 where there is nothing to divide by."""
    out = np.zeros(np.broadcast(part, whole).shape)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def _hits(counts: Ints) -> Ints:
    return np.diagonal(counts, axis1=-2, axis2=-1)


def accuracy(counts: Ints) -> Floats:
    """Share of images whose predicted class is the true one [...]."""
    return _ratio(_hits(counts).sum(axis=-1), counts.sum(axis=(-2, -1)))


def per_class(counts: Ints) -> PerClass:
    """Precision, recall, F1 and support of every class; 0 where a class never occurs."""
    hits, support, answered = _hits(counts), counts.sum(axis=-1), counts.sum(axis=-2)[..., :-1]
    return PerClass(
        precision=_ratio(hits, answered),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, support + answered),
        support=support,
    )


def macro_f1(counts: Ints) -> Floats:
    """Unweighted mean of F1 over the classes that occur, as true or as predicted class [...]."""
    occurs = (counts.sum(axis=-1) + counts.sum(axis=-2)[..., :-1]) > 0
    return _ratio(np.where(occurs, per_class(counts).f1, 0.0).sum(axis=-1), occurs.sum(axis=-1))


def expected_calibration_error(
    confidence: npt.ArrayLike, correct: npt.ArrayLike, bins: int = ECE_BINS
) -> float:
    """Mean gap between confidence [N] and accuracy [N] over equal-width bins (a, b], by size.

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
    """
    sure, right = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    if sure.size == 0:
        raise ValueError("there is no answer whose confidence could be judged")
    index = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(index, weights=sure - right, minlength=bins)
    return float(np.abs(gaps).sum() / sure.size)


def brier(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Mean squared distance between probabilities [N, C] and the one-hot truth, 0 (best) to 2.

    Brier, "Verification of forecasts expressed in terms of probability", 1950: summed over classes.
    """
    predicted = np.asarray(probabilities, np.float64)
    truth = np.eye(predicted.shape[1])[np.asarray(labels, np.int64)]
    return float(((predicted - truth) ** 2).sum(axis=1).mean())


def _reached(scores: npt.ArrayLike, positive: npt.ArrayLike) -> tuple[Ints, Ints]:
    """How many positives and negatives reach each threshold [T]; the thresholds fall."""
    values, truth = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if values.shape != truth.shape or values.ndim != 1:
        raise ValueError(f"scores {values.shape} and classes {truth.shape} do not pair up")
    if not truth.any() or truth.all():
        raise ValueError("all images are of one class: there is nothing to rank")
    order = np.argsort(-values, kind="stable")
    values, truth = values[order], truth[order]
    last = np.append(np.diff(values) != 0, True)  # Of each group of equal scores.
    return np.cumsum(truth)[last], np.cumsum(~truth)[last]


def roc_auc(scores: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """Area under the ROC curve: how often a positive [N] scores above a negative; ties are half.

    Hanley and McNeil, "The meaning and use of the area under a ROC curve", 1982.

    Raises:
        ValueError: the two do not pair up, or all images are of one class.
    """
    hits, alarms = _reached(scores, positive)
    rates = np.append(0.0, hits / hits[-1]), np.append(0.0, alarms / alarms[-1])
    return float(np.trapezoid(*rates))


def pr_auc(scores: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """Average precision: the area under the precision-recall curve, as steps; ties are one step.

    Without interpolation, which is too optimistic (Davis and Goadrich, 2006).

    Raises:
        ValueError: the two do not pair up, or all images are of one class.
    """
    hits, alarms = _reached(scores, positive)
    gained = np.diff(np.append(0, hits)) / hits[-1]
    return float((gained * hits / (hits + alarms)).sum())


def resample(cells: Ints, samples: int, seed: int) -> Ints:
    """Counts [samples, *cells.shape] in bootstrap samples of the images counted in `cells`."""
    images = int(cells.sum())
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = generator.multinomial(images, cells.ravel() / images, size=samples)
    return drawn.reshape(samples, *cells.shape).astype(np.int64)


def _interval(values: Floats) -> tuple[float, float]:
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


def intervals(counts: Ints, samples: int, seed: int) -> dict[str, tuple[float, float]]:
    """95 % intervals of accuracy and macro-F1 from the counts [C, C + 1] of `confusion_counts`."""
    drawn = resample(counts, samples, seed)
    return {"accuracy": _interval(accuracy(drawn)), "macro_f1": _interval(macro_f1(drawn))}


@dataclass(frozen=True)
class Difference:
    """Our accuracy minus theirs, on the same images.

    Attributes:
        observed: on these images.
        lower: its one-sided 95 % bound: the 5th percentile over the samples.
        interval: its 95 % interval.
        won: images that only we get right.
        lost: images that only they get right.
        images: all of them.
    """

    observed: float
    lower: float
    interval: tuple[float, float]
    won: int
    lost: int
    images: int

    def within(self, margin: float) -> bool:
        """Whether we are, with 95 % confidence, at most `margin` worse."""
        return self.lower >= -margin - 1e-12  # a bound of exactly -margin, after rounding


def paired_difference(
    ours: npt.ArrayLike, theirs: npt.ArrayLike, samples: int, seed: int
) -> Difference:
    """Compare two models by which of the same images [N] each gets right.

    Raises:
        ValueError: the two do not pair up, or there is no image.
    """
    mine, other = np.asarray(ours, bool), np.asarray(theirs, bool)
    if mine.shape != other.shape or mine.size == 0:
        raise ValueError(f"{mine.shape} and {other.shape} images do not pair up")
    won, lost, images = int((mine & ~other).sum()), int((other & ~mine).sum()), mine.size
    drawn = resample(np.array([won, lost, images - won - lost]), samples, seed)
    differences = (drawn[:, 0] - drawn[:, 1]) / images
    lower = float(np.quantile(differences, 1.0 - CONFIDENCE))
    return Difference((won - lost) / images, lower, _interval(differences), won, lost, images)


def wilson(hits: int, images: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927): for a class of few images, where bootstraps fail."""
    if images == 0:
        return 0.0, 1.0
    z, share = 1.959964, hits / images
    centre = share + z * z / (2 * images)
    spread = z * math.sqrt(share * (1 - share) / images + z * z / (4 * images * images))
    whole = 1 + z * z / images
    return max(0.0, (centre - spread) / whole), min(1.0, (centre + spread) / whole)


def rounded(value: Any) -> Any:
    """Floats to six decimals, in any nesting: the last bits of a sum are no result."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return round(float(value), _DECIMALS) if isinstance(value, float | np.floating) else value
