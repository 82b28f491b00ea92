"""The charts of a report: pure functions from numbers to one PNG file each.

Equal input gives equal bytes. Sheets of photographs are in sheets.py.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sortline.reporting.sheets import mistakes
from sortline.reporting.style import (
    BLUE,
    BLUES,
    GREEN,
    GRID,
    INK,
    MUTED,
    ORANGE,
    ORANGES,
    PAPER,
    figure,
    notice,
    shorten,
)

__all__ = ["confusion_matrix", "mistakes", "per_class_bars", "reliability", "training_curves"]

# Errors are a few per cent of a row: on a scale to 100 % they could not be told from none.
_FULL_ERROR_SHADE = 0.25
_SPLIT_STYLES = (("", "train", ORANGE, "--"), ("val_", "validation", BLUE, "-"))


def _percent(share: float, _place: int | None = None) -> str:
    return f"{round(100 * share, 6):g} %"


def _row_shares(counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def _cell_colours(shares: np.ndarray) -> np.ndarray:
    colours = ORANGES(np.clip(shares / _FULL_ERROR_SHADE, 0.0, 1.0))
    diagonal = np.arange(len(shares))
    colours[diagonal, diagonal] = BLUES(shares[diagonal, diagonal])
    return np.asarray(colours)


def _write_cells(axes: Axes, counts: np.ndarray, colours: np.ndarray, size: float) -> None:
    luma = colours[..., :3] @ np.array([0.299, 0.587, 0.114])
    for row, column in np.argwhere(counts > 0):
        ink = INK if luma[row, column] > 0.55 else PAPER
        text = f"{int(counts[row, column])}"
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=size)


def confusion_matrix(counts: np.ndarray, labels: Sequence[str], target: Path) -> None:
    """Draw counts [C, C] (row: true class, column: predicted) with each row's shares as shade.

    Right answers are blue, wrong ones orange; orange is full at 25 % of the row.
    """
    counts = np.asarray(counts)
    classes = len(labels)
    side = float(np.clip(2.2 + 0.56 * classes, 4.5, 11.0))
    colours = _cell_colours(_row_shares(counts))
    size = float(np.clip(260 / (classes + 12), 4.5, 10.0))
    names = [shorten(label) for label in labels]
    with figure(target, side + 0.4, side) as drawn:
        axes = drawn.subplots()
        axes.imshow(colours, interpolation="nearest")
        _write_cells(axes, counts, colours, size)
        axes.set_xticks(range(classes), names, rotation=45, ha="right", rotation_mode="anchor")
        totals = counts.sum(axis=1)
        axes.set_yticks(
            range(classes), [f"{n}  {int(t)}" for n, t in zip(names, totals, strict=True)]
        )
        axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
        axes.grid(which="minor", color=GRID, linewidth=0.8)
        axes.tick_params(which="both", length=0)
        axes.tick_params(which="major", labelsize=float(np.clip(size + 0.5, 6.0, 9.5)))
        axes.spines[:].set_visible(False)
        axes.set(xlabel="predicted", ylabel="true class, images")
        axes.set_title("Confusion: images by true and predicted class")


def _bins(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Bin of each confidence: (a, b], as the calibration error counts them."""
    return np.asarray(np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1))


def _wilson(right: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of a share (Wilson 1927): stays sensible for bins of three images."""
    z = 1.96
    share = right / count
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    spread = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return centre - spread, centre + spread


def _draw_calibration(axes: Axes, confidence: np.ndarray, correct: np.ndarray, bins: int) -> None:
    bin_of = _bins(confidence, bins)
    count = np.bincount(bin_of, minlength=bins)
    used = np.flatnonzero(count)
    right = np.bincount(bin_of, weights=correct, minlength=bins)[used]
    mean = np.bincount(bin_of, weights=confidence, minlength=bins)[used] / count[used]
    accuracy = right / count[used]
    low, high = _wilson(right, count[used])
    centres = (used + 0.5) / bins
    axes.bar(centres, accuracy, width=0.92 / bins, color=BLUE, alpha=0.35, label="accuracy")
    axes.vlines(centres, low, high, color=BLUE, linewidth=1.4, label="95 % interval")
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--", label="perfect")
    axes.plot(mean, accuracy, "o", color=INK, markersize=4, label="at mean confidence")


def _draw_bin_counts(axes: Axes, confidence: np.ndarray, bins: int) -> None:
    count = np.bincount(_bins(confidence, bins), minlength=bins)
    centres = (np.arange(bins) + 0.5) / bins
    axes.bar(centres, count, width=0.92 / bins, color=MUTED, alpha=0.5)
    for centre, number in zip(centres, count, strict=True):
        if number:
            text = f"{number}"
            axes.text(centre, number, text, ha="center", va="bottom", fontsize=7, color=MUTED)
    axes.set_ylim(0, max(float(count.max()), 1.0) * 1.25)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))


def reliability(
    confidence: np.ndarray, correct: np.ndarray, target: Path, *, bins: int = 15
) -> None:
    """Draw accuracy against confidence (of the predicted class, [N]) in equal bins, with counts.

    15 bins, as in Guo et al. 2017, where this diagram and the calibration error come from.
    """
    confidence = np.asarray(confidence, dtype=np.float64)
    correct = np.asarray(correct, dtype=np.float64)
    with figure(target, 6.4, 6.6) as drawn:
        upper, lower = drawn.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
        upper.set_title("Reliability: is 90 % sure right 9 times in 10?")
        if not confidence.size:
            notice(upper, "no predictions")
            return
        _draw_calibration(upper, confidence, correct, bins)
        _draw_bin_counts(lower, confidence, bins)
        upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
        upper.legend(loc="upper left")
        lower.set(xlabel="confidence of the predicted class", ylabel="images")
        for axis in (upper.yaxis, lower.xaxis):
            axis.set_major_formatter(FuncFormatter(_percent))
        upper.grid()


def per_class_bars(per_class: Mapping[str, Mapping[str, float]], target: Path) -> None:
    """Draw precision, recall and F1 of every class, the weakest F1 first."""
    order = sorted(per_class, key=lambda label: (per_class[label].get("f1", 0.0), label))
    rows = np.arange(len(order))
    small = len(order) > 20
    with figure(target, 8.0, 1.3 + (0.26 if small else 0.44) * max(len(order), 1)) as drawn:
        axes = drawn.subplots()
        for place, (key, colour) in enumerate(
            (("precision", ORANGE), ("recall", BLUE), ("f1", GREEN))
        ):
            values = [float(per_class[label].get(key, 0.0)) for label in order]
            name = {"f1": "F1"}.get(key, key)
            bars = axes.barh(rows + (place - 1) * 0.26, values, 0.23, color=colour, label=name)
            if not small:
                axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=7, color=MUTED)
        axes.set_yticks(rows, [_class_name(label, per_class[label]) for label in order])
        axes.set_ylim(max(len(order), 1) - 0.5, -0.5)
        axes.set_xlim(0, 1.05)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        axes.set_title("Per class, the weakest first")
        drawn.legend(loc="outside lower center", ncols=3)


def _class_name(label: str, values: Mapping[str, float]) -> str:
    support = values.get("support")
    return shorten(label) if support is None else f"{shorten(label)}  {int(support)}"


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


def training_curves(histories: Sequence[pd.DataFrame], target: Path) -> None:
    """Draw accuracy and loss over the epochs of all phases, one frame of history.csv a phase."""
    histories = [frame for frame in histories if len(frame)]
    with figure(target, 9.0, 3.8) as drawn:
        left, right = drawn.subplots(1, 2)
        if not histories:
            notice(left, "no epochs")
            notice(right, "no epochs")
            return
        for axes, name in ((left, "accuracy"), (right, "loss")):
            _draw_history(axes, histories, name)
            _mark_phases(axes, histories, named=axes is left)
        left.yaxis.set_major_formatter(FuncFormatter(_percent))
        right.set_ylim(bottom=0)
        right.legend(loc="upper right")
