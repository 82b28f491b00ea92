"""The reliability diagram: whether an answer given with 90 % is right nine times in ten."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sortline.evaluation.metrics import wilson
from sortline.reporting.drawing import BLUE, INK, MUTED, notice, percent_tick
from sortline.reporting.figures import Evaluated, figure

_BINS = 15


def bins_of(confidence: np.ndarray) -> np.ndarray:
    """Bin of each confidence: (a, b], as the calibration error counts them."""
    return np.asarray(np.clip(np.ceil(confidence * _BINS).astype(int) - 1, 0, _BINS - 1))


def _draw_accuracy(axes: Axes, confidence: np.ndarray, correct: np.ndarray) -> None:
    bin_of = bins_of(confidence)
    count = np.bincount(bin_of, minlength=_BINS)
    used = np.flatnonzero(count)
    right = np.bincount(bin_of, weights=correct, minlength=_BINS)[used]
    mean = np.bincount(bin_of, weights=confidence, minlength=_BINS)[used] / count[used]
    accuracy = right / count[used]
    low, high = np.array(
        [wilson(int(r), int(n)) for r, n in zip(right, count[used], strict=True)]
    ).T
    centres = (used + 0.5) / _BINS
    axes.bar(centres, accuracy, width=0.92 / _BINS, color=BLUE, alpha=0.35, label="accuracy")
    axes.vlines(centres, low, high, color=BLUE, linewidth=1.4, label="95 % interval")
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--", label="perfect")
    axes.plot(mean, accuracy, "o", color=INK, markersize=4, label="at mean confidence")


def _draw_bin_counts(axes: Axes, confidence: np.ndarray) -> None:
    count = np.bincount(bins_of(confidence), minlength=_BINS)
    centres = (np.arange(_BINS) + 0.5) / _BINS
    axes.bar(centres, count, width=0.92 / _BINS, color=MUTED, alpha=0.5)
    for centre, number in zip(centres, count, strict=True):
        if number:
            text = f"{number}"
            axes.text(centre, number, text, ha="center", va="bottom", fontsize=7, color=MUTED)
    axes.set_ylim(0, max(float(count.max()), 1.0) * 1.25)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))


def draw_reliability(drawing: Figure, confidence: np.ndarray, correct: np.ndarray) -> None:
    """Draw accuracy against confidence (of the predicted class, [N]) in equal bins, with counts.

    15 bins, as in Guo et al. 2017, where this diagram and the calibration error come from.
    """
    confidence = np.asarray(confidence, dtype=np.float64)
    drawing.set_size_inches(6.4, 6.6)
    upper, lower = drawing.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
    if not confidence.size:
        notice(upper, "no predictions")
        return
    _draw_accuracy(upper, confidence, np.asarray(correct, dtype=np.float64))
    _draw_bin_counts(lower, confidence)
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    upper.legend(loc="upper left")
    lower.set(xlabel="confidence of the predicted class", ylabel="images")
    for axis in (upper.yaxis, lower.xaxis):
        axis.set_major_formatter(FuncFormatter(percent_tick))
    upper.grid()


@figure(
    "reliability",
    title="Reliability: is 90 % sure right 9 times in 10?",
    section="calibration",
    alt="Reliability diagram: accuracy of the answers by their confidence, with the number of"
    " images in each bin.",
    caption="On the dashed line, confidence is the chance of being right. Bars below it: the model"
    " is too sure of itself.",
)
def reliability(evaluated: Evaluated, drawing: Figure) -> None:
    """Draw it from the images that the model answered for."""
    answered = evaluated.predictions[evaluated.predictions["valid"]]
    draw_reliability(drawing, answered["probability"].to_numpy(), answered["correct"].to_numpy())
