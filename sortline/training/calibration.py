"""Temperature scaling: one number that makes a classifier's confidence mean what it says.

Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 4.2:
probabilities are softmax(logits / T), and T minimises the negative log-likelihood on data that was
not trained on. No answer changes, only its probability.
"""

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
