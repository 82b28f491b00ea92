"""How well scores put the images of one class before those of the other: two classes, NumPy only.

Ties count half in the ROC curve's area, and are taken together in the precision-recall curve's.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def _curve(scores: npt.ArrayLike, positive: npt.ArrayLike) -> tuple[Array, Array, Array]:
    """Thresholds, falling [T], and how many positives and negatives reach each [T]."""
    given, truth = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if given.shape != truth.shape or given.ndim != 1:
        raise ValueError(f"scores {given.shape} and classes {truth.shape} do not pair up")
    if not truth.any() or truth.all():
        raise ValueError("all images are of one class: there is nothing to rank")
    order = np.argsort(-given, kind="stable")
    given, truth = given[order], truth[order]
    last = np.append(np.diff(given) != 0, True)  # Of each group of equal scores.
    return given[last], np.cumsum(truth)[last], np.cumsum(~truth)[last]


def roc_auc(scores: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """Area under the ROC curve: how often a positive [N] scores above a negative.

    Hanley and McNeil, "The meaning and use of the area under a ROC curve", 1982.

    Raises:
        ValueError: the two do not pair up, or all images are of one class.
    """
    _, hits, alarms = _curve(scores, positive)
    rates = np.append(0.0, hits / hits[-1]), np.append(0.0, alarms / alarms[-1])
    return float(np.trapezoid(*rates))


def pr_auc(scores: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """Average precision: the area under the precision-recall curve, as steps.

    Without interpolation, which is too optimistic (Davis and Goadrich, 2006).

    Raises:
        ValueError: the two do not pair up, or all images are of one class.
    """
    _, hits, alarms = _curve(scores, positive)
    gained = np.diff(np.append(0, hits)) / hits[-1]
    return float((gained * hits / (hits + alarms)).sum())


def youden_threshold(scores: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """The threshold in 0 to 1 at which true minus false positive rate is largest (Youden, 1950).

    Between two scores it is their middle, so that neither is at the edge.

    Raises:
        ValueError: the two do not pair up, or all images are of one class.
    """
    limits, hits, alarms = _curve(scores, positive)
    best = int(np.argmax(hits / hits[-1] - alarms / alarms[-1]))
    below = limits[best + 1] if best + 1 < len(limits) else 0.0
    return float((limits[best] + below) / 2)
