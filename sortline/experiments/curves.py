"""The learning curves of all recipes, laid over each other in one picture."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from sortline.experiments.summary import Summary
from sortline.reporting.drawing import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    VERMILLION,
    new_picture,
    notice,
    shorten,
)

_PURPLE, _SKY = "#CC79A7", "#56B4E9"  # The rest of Okabe and Ito's palette.
_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, _PURPLE, _SKY, INK)
_LINES = ("-", "--", ":")


def _bands(summary: Summary) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Epochs, and the least, mean and largest accuracy of the seeds that came so far."""
    values: dict[int, list[float]] = {}
    for record in summary.records:
        for point in record.curve:
            values.setdefault(point.epoch, []).append(point.val)
    epochs = sorted(values)
    rows = [(min(values[e]), sum(values[e]) / len(values[e]), max(values[e])) for e in epochs]
    low, mean, high = np.array(rows).T
    return np.array(epochs), low, mean, high


def _draw(axes: Axes, summaries: Sequence[Summary]) -> None:
    styles = cycle((colour, line) for line in _LINES for colour in _COLOURS)
    for summary, (colour, line) in zip(summaries, styles, strict=False):
        epochs, low, mean, high = _bands(summary)
        marker = "o" if len(epochs) < 40 else None
        name = shorten(summary.recipe, 26)
        axes.plot(epochs, mean, line, color=colour, marker=marker, markersize=3, label=name)
        if len(summary.records) > 1:
            axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)


def curves(summaries: Sequence[Summary], target: Path) -> None:
    """Draw the accuracy on the validation split over epochs, a line a recipe, as PNG.

    A line is the mean of the seeds, its band goes from the least to the largest.
    """
    measured = [each for each in summaries if each.measured]
    with new_picture(target, 9.0, 4.6) as drawn:
        axes = drawn.subplots()
        if not measured:
            notice(axes, "nothing was measured")
            return
        _draw(axes, measured)
        axes.set(xlabel="epoch, over all phases", title="Accuracy on the validation split")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
        axes.grid()
        drawn.legend(loc="outside right upper")
