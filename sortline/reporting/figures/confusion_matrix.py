"""The confusion matrix: how many images of each true class were given each predicted one."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sortline.core.refusal import REFUSED_IN_TABLES
from sortline.reporting.drawing import BLUES, GRID, INK, ORANGES, PAPER, shorten
from sortline.reporting.figures import Evaluated, figure

# Errors are a few per cent of a row: on a scale to 100 % they could not be told from none.
_FULL_ERROR_SHADE = 0.25


def confusion_table(rows: pd.DataFrame, labels: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Counts [K, K] of true by predicted class; refused images, if there are any, are one more."""
    refused = (rows["predicted"] == REFUSED_IN_TABLES).any()
    names = [*labels, REFUSED_IN_TABLES] if refused else list(labels)
    ids = {name: index for index, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (rows["label"].map(ids).to_numpy(), rows["predicted"].map(ids).to_numpy()), 1)
    return counts, names


def _cell_colours(counts: np.ndarray) -> np.ndarray:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
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


def draw_confusion(drawing: Figure, counts: np.ndarray, labels: Sequence[str]) -> None:
    """Draw counts [C, C] (row: true class, column: predicted) with each row's shares as shade.

    Right answers are blue, wrong ones orange; orange is full at 25 % of the row.
    """
    classes = len(labels)
    side = float(np.clip(2.2 + 0.56 * classes, 4.5, 11.0))
    size = float(np.clip(260 / (classes + 12), 4.5, 10.0))
    drawing.set_size_inches(side + 0.4, side)
    axes = drawing.subplots()
    colours = _cell_colours(counts)
    axes.imshow(colours, interpolation="nearest")
    _write_cells(axes, counts, colours, size)
    names = [shorten(label) for label in labels]
    axes.set_xticks(range(classes), names, rotation=45, ha="right", rotation_mode="anchor")
    totals = zip(names, counts.sum(axis=1), strict=True)
    axes.set_yticks(range(classes), [f"{name}  {int(total)}" for name, total in totals])
    axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=GRID, linewidth=0.8)
    axes.tick_params(which="both", length=0)
    axes.tick_params(which="major", labelsize=float(np.clip(size + 0.5, 6.0, 9.5)))
    axes.spines[:].set_visible(False)
    axes.set(xlabel="predicted", ylabel="true class, images")


@figure(
    "confusion_matrix",
    title="Confusion: images by true and predicted class",
    section="classes",
    alt="Confusion matrix: one row a true class, one column a predicted class, the number of images"
    " in each cell.",
    caption="Shade is the share of the row: blue for right answers, orange for wrong ones (full at"
    " 25 %).",
)
def confusion_matrix(evaluated: Evaluated, drawing: Figure) -> None:
    """Draw it from the predictions."""
    draw_confusion(drawing, *confusion_table(evaluated.predictions, evaluated.labels))
