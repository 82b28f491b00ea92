"""Accuracy and loss over the epochs of both phases."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sortline.reporting.drawing import BLUE, MUTED, ORANGE, notice, percent_tick
from sortline.reporting.figures import Evaluated, figure

_SPLIT_STYLES = (("", "train", ORANGE, "--"), ("val_", "validation", BLUE, "-"))


def _draw_history(axes: Axes, histories: Sequence[pd.DataFrame], name: str) -> None:
    for prefix, label, colour, line in _SPLIT_STYLES:
        column = prefix + name
        frames = [frame for frame in histories if column in frame]
        epochs = np.concatenate([frame["epoch"].to_numpy() for frame in frames] or [np.empty(0)])
        values = np.concatenate([frame[column].to_numpy() for frame in frames] or [np.empty(0)])
        marker = "o" if len(epochs) < 40 else None
        axes.plot(epochs, values, line, color=colour, marker=marker, markersize=3, label=label)
    axes.set(xlabel="epoch", title=name.capitalize())
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.grid()


def _mark_phases(axes: Axes, histories: Sequence[pd.DataFrame], *, named: bool) -> None:
    for phase, frame in enumerate(histories[1:], start=2):
        start = float(frame["epoch"].min()) - 0.5
        axes.axvline(start, color=MUTED, linewidth=1, linestyle=":")
        if named:
            text = f" phase {phase}"
            place = axes.get_xaxis_transform()
            axes.text(start, 0.02, text, color=MUTED, fontsize=8.5, transform=place)


def draw_curves(drawing: Figure, histories: Sequence[pd.DataFrame]) -> None:
    """Draw accuracy and loss over the epochs of all phases, one frame of history.csv a phase."""
    histories = [frame for frame in histories if len(frame)]
    drawing.set_size_inches(9.0, 4.0)
    left, right = drawing.subplots(1, 2)
    if not histories:
        notice(left, "no epochs")
        notice(right, "no epochs")
        return
    for axes, name in ((left, "accuracy"), (right, "loss")):
        _draw_history(axes, histories, name)
        _mark_phases(axes, histories, named=axes is left)
    left.yaxis.set_major_formatter(FuncFormatter(percent_tick))
    right.set_ylim(bottom=0)
    right.legend(loc="upper right")


@figure(
    "training_curves",
    title="Training",
    section="training",
    alt="Two line charts over the epochs of both phases: accuracy, and loss, of the training and"
    " the validation split. A dotted line marks the start of phase 2.",
)
def training_curves(evaluated: Evaluated, drawing: Figure) -> None:
    """Draw it from history.csv of both phases."""
    draw_curves(drawing, evaluated.histories)
