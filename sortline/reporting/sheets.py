"""Sheets of photographs with captions: the worst mistakes, and originals beside their views."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sortline.reporting.style import (
    GRID,
    INK,
    MUTED,
    VERMILLION,
    bare,
    new_picture,
    notice,
    shorten,
    title,
)

_COLUMNS = 6


def _show(axes: Axes, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    axes.imshow(image, interpolation="antialiased", interpolation_stage="rgba")
    edge = (-0.5, -0.5), width, height
    axes.add_patch(Rectangle(*edge, fill=False, edgecolor=GRID, linewidth=0.8, clip_on=False))
    # Square cells, the picture in the middle of its own: captions then stand in one line.
    side = max(height, width)
    axes.set_xlim((width - side) / 2 - 0.5, (width + side) / 2 - 0.5)
    axes.set_ylim((height + side) / 2 - 0.5, (height - side) / 2 - 0.5)


def _caption(axes: Axes, line: int, text: str, colour: str, *, bold: bool = False) -> None:
    axes.annotate(
        text,
        (0.5, 0.0),
        (0, -4 - 11.5 * line),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize=8.5,
        color=colour,
        fontweight="bold" if bold else "normal",
        annotation_clip=False,
    )


def _cells(drawing: Figure, count: int) -> list[Axes]:
    columns = min(_COLUMNS, max(count, 1))
    rows = -(-max(count, 1) // columns)
    cells = list(drawing.subplots(rows, columns, squeeze=False).flat)
    for axes in cells:
        bare(axes)
    return cells


def _sheet_size(count: int) -> tuple[float, float]:
    columns, rows = min(_COLUMNS, max(count, 1)), -(-max(count, 1) // _COLUMNS)
    return max(1.5 * columns, 5.5), 0.5 + 1.95 * rows


def draw_mistakes(
    drawing: Figure, images: Sequence[np.ndarray], captions: Sequence[tuple[str, str, float]]
) -> None:
    """Draw thumbnails (uint8 [H, W, 3], any sizes) with (true label, predicted label, probability).

    They are drawn in the order given.
    """
    drawing.set_size_inches(*_sheet_size(len(images)))
    cells = _cells(drawing, len(images))
    if not len(images):
        notice(cells[0], "none: every image was classified rightly")
    for axes, image, (true, predicted, probability) in zip(cells, images, captions, strict=False):
        _show(axes, image)
        _caption(axes, 0, f"is {shorten(true, 16)}", INK, bold=True)
        answer = f"said {shorten(predicted, 14)} {rounded_down(probability)}"
        _caption(axes, 1, answer, VERMILLION)


def suspect_labels(
    images: Sequence[np.ndarray], captions: Sequence[tuple[str, str, float]], target: Path
) -> None:
    """Draw thumbnails (uint8 [H, W, 3]) with (given label, suggested label, its probability)."""
    with new_picture(target, *_sheet_size(len(images))) as drawing:
        title(drawing, "Suspect labels: the least probable first")
        cells = _cells(drawing, len(images))
        if not len(images):
            notice(cells[0], "none: no label is suspect")
        rows = zip(cells, images, captions, strict=False)
        for place, (axes, image, (given, new, probability)) in enumerate(rows, start=1):
            _show(axes, image)
            _caption(axes, 0, f"{place}. given {shorten(given, 14)}", INK, bold=True)
            _caption(axes, 1, f"{shorten(new, 14)}? {rounded_down(probability)}", VERMILLION)


def rounded_down(share: float) -> str:
    """Rounded down, so that 99.97 % is not shown as certainty."""
    return f"{int(share * 100)} %" if share < 0.99 else f"{int(share * 1000) / 10} %"


def originals(pictures: Sequence[tuple[str, np.ndarray]], heading: str, target: Path) -> None:
    """Draw (label, uint8 [H, W, 3]) pictures one after the other."""
    with new_picture(target, *_sheet_size(len(pictures))) as drawing:
        title(drawing, heading)
        for axes, (label, image) in zip(_cells(drawing, len(pictures)), pictures, strict=False):
            _show(axes, image)
            _caption(axes, 0, shorten(label, 16), INK)


def views(rows: Sequence[tuple[str, Sequence[np.ndarray]]], heading: str, target: Path) -> None:
    """Draw one line of pictures an image: its label, the original (the first), then its views."""
    columns = max(len(pictures) for _, pictures in rows)
    ratios = [1.0, 0.08, *[1.0] * (columns - 1)]  # A gap after the original.
    with new_picture(target, 1.25 * columns + 0.8, 0.75 + 1.27 * len(rows)) as drawing:
        title(drawing, heading)
        grid = drawing.subplots(len(rows), columns + 1, squeeze=False, width_ratios=ratios)
        for line, (label, pictures) in zip(grid, rows, strict=True):
            for axes in line:
                bare(axes)
            for axes, picture in zip([line[0], *line[2:]], pictures, strict=False):
                _show(axes, picture)
            line[0].set_ylabel(shorten(label, 14), fontsize=8.5, color=INK)
        grid[0][0].set_title("original", fontsize=8.5, fontweight="normal", color=MUTED)
        grid[0][2].set_title("views", fontsize=8.5, fontweight="normal", color=MUTED)
