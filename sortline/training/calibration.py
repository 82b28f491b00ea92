"""Temperature scaling: one number that makes a classifier's confidence mean what it says.

Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 4.2:
probabilities are softmax(logits / T), and T minimises the negative log-likelihood on data that was
not trained on. No answer changes, only its probability. For two classes there is a threshold too,
from which on the second one is the answer.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# For a classifier that is right on every image, T = 0 is likeliest: certain of everything.
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
_HALVINGS = 60  # Of an interval of log T: the last ones are below a float64's resolution.


def probabilities(logits: npt.ArrayLike, temperature: float = 1.0) -> Floats:
    """softmax(logits / temperature) over the last axis, in float64."""
    scaled = np.asarray(logits, np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def negative_log_likelihood(
    logits: npt.ArrayLike, labels: npt.ArrayLike, temperature: float = 1.0
) -> float:
    """Mean of -log p(label) over [N, C] logits and [N] class ids, in nats."""
    scaled = np.asarray(logits, np.float64) / temperature
    shifted = scaled - scaled.max(axis=1, keepdims=True)
    totals = np.log(np.exp(shifted).sum(axis=1))
    return float((totals - _of_labels(shifted, labels)).mean())


def fit_temperature(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """The temperature in 0.05 to 20 that minimises the negative log-likelihood.

    Args:
        logits: [N, C], of data that was not trained on.
        labels: class ids [N].

    Raises:
        ValueError: there is nothing to fit on, or a logit is not finite.
    """
    scores = np.asarray(logits, np.float64)
    if scores.ndim != 2 or scores.shape[0] == 0 or len(np.asarray(labels)) != scores.shape[0]:
        raise ValueError(f"logits {scores.shape} with {len(np.asarray(labels))} labels")
    if not np.isfinite(scores).all():
        raise ValueError("some logits are not finite")
    low, high = np.log([MIN_TEMPERATURE, MAX_TEMPERATURE])
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        if _overconfidence(scores, labels, float(np.exp(middle))) > 0:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2.0))


def _overconfidence(scores: Floats, labels: npt.ArrayLike, temperature: float) -> float:
    """Derivative of the likelihood's negative log by 1/T: it grows with 1/T, through zero once.

    The negative log-likelihood is convex in 1/T, so that halving on its derivative's sign finds the
    one minimum; searching the minimum itself stops at half of the digits.
    """
    expected = (probabilities(scores, temperature) * scores).sum(axis=1)
    return float((expected - _of_labels(scores, labels)).mean())


def _of_labels(scores: Floats, labels: npt.ArrayLike) -> Floats:
    ids = np.asarray(labels, np.int64)
    return np.asarray(scores[np.arange(len(ids)), ids])


def youden_threshold(scores: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """The threshold in 0 to 1 at which true minus false positive rate is largest (Youden, 1950).

    Between two scores it is their middle, so that neither is at the edge.

    Args:
        scores: probabilities of the positive class [N].
        positive: which images are of it [N].

    Raises:
        ValueError: the two do not pair up, or all images are of one class.
    """
    values, truth = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if values.shape != truth.shape:
        raise ValueError(f"scores {values.shape} and classes {truth.shape} do not pair up")
    if not truth.any() or truth.all():
        raise ValueError("all images are of one class: there is no threshold between two")
    limits = np.unique(values)[::-1]
    hits, alarms = (
        (len(part) - np.searchsorted(np.sort(part), limits)) / len(part)
        for part in (values[truth], values[~truth])
    )
    best = int(np.argmax(hits - alarms))
    below = limits[best + 1] if best + 1 < len(limits) else 0.0
    return float((limits[best] + below) / 2)


@dataclass(frozen=True)
class Calibration:
    """The temperature, and the validation split's negative log-likelihood at 1 and at it.

    `at_limit`: it was fitted, and the split would have it further out than we go. `threshold`: of
    the second class, where there is one logit for two; None elsewhere.
    """

    temperature: float
    at_limit: bool
    nll_before: float
    nll_after: float
    threshold: float | None = None

    @property
    def warning(self) -> str | None:
        """What to tell the user when the temperature is at a limit."""
        if not self.at_limit:
            return None
        return (
            f"the temperature is at a limit ({MIN_TEMPERATURE} to {MAX_TEMPERATURE}): the"
            " validation split is all right or all wrong, and says little of confidence."
            " export.temperature: 1.0 leaves it as it is."
        )


def calibrate(
    logits: npt.ArrayLike,
    class_ids: npt.NDArray[np.int64],
    temperature: float | Literal["fit"],
    threshold: float | Literal["fit"] | None,
) -> Calibration:
    """Fit the temperature and the threshold to logits [N, C], or take those that are given."""
    fitted = temperature == "fit"
    value = fit_temperature(logits, class_ids) if temperature == "fit" else temperature
    # Rounded, so that the number in the report and the contract is the one in the graph.
    value = float(f"{value:.6g}")
    if threshold == "fit":
        threshold = youden_threshold(probabilities(logits, value)[:, 1], class_ids == 1)
    return Calibration(
        value,
        fitted and not MIN_TEMPERATURE * 1.001 < value < MAX_TEMPERATURE / 1.001,
        negative_log_likelihood(logits, class_ids),
        negative_log_likelihood(logits, class_ids, value),
        None if threshold is None else float(f"{threshold:.6g}"),
    )
