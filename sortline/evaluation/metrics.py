"""How good a classifier's answers are: numpy only, vectorised over leading axes where it pays.

Everything that counts answers starts from one table, `counts` [..., C, C + 1]: rows are the true
classes, columns the predicted ones, and the last column holds images for which the model gave no
answer. Such an image is wrong: it lowers its class's recall and no class's precision.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

ECE_BINS = 15


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
    given = np.asarray(probabilities, np.float64)
    truth = np.eye(given.shape[1])[np.asarray(labels, np.int64)]
    return float(((given - truth) ** 2).sum(axis=1).mean())
