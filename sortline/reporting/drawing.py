"""The look of every picture, how one is written, and sheets of photographs with captions.

A picture is written whole, and with equal bytes for equal input. Figures are built without pyplot:
no global state, no display, no figure left open.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sortline.core.files import atomic_file

_THUMBNAIL_PX: Final = 320
_COLUMNS: Final = 6  # Of a sheet.
DPI: Final = (
    192  # Two pixels a CSS pixel: sharp on a 2x screen at the size that the font sizes mean.
)

# Okabe and Ito's palette (2008): told apart under every common colour-vision deficiency.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
INK, MUTED, GRID, PAPER = "#1F2933", "#616E7C", "#E4E7EB", "#FFFFFF"

BLUES = LinearSegmentedColormap.from_list("sortline_blues", ["#FFFFFF", "#7DB7DB", "#00507D"])
ORANGES = LinearSegmentedColormap.from_list("sortline_oranges", ["#FFFFFF", "#F3C46B", "#B84A00"])

_STYLE: Final = {
    "font.family": "DejaVu Sans",  # Ships with matplotlib: the same glyphs on every machine.
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,  # A class called "$5_notes" is no formula.
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
}


@contextmanager
def new_picture(target: Path, width: float, height: float) -> Iterator[Figure]:
    """An empty sheet of these inches, written to `target` as PNG when the block ends."""
    with mpl.rc_context({**mpl.rcParamsDefault, **_STYLE}), warnings.catch_warnings():
        # A label in a script that the font lacks is drawn as boxes; that is no reason to stop.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        drawing = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(drawing)
        yield drawing
        with atomic_file(target) as partial:
            drawing.savefig(partial, format="png", dpi=DPI, metadata={"Software": None})


def title(drawing: Figure, text: str) -> None:
    """Write a title above everything else on the sheet."""
    drawing.suptitle(text, x=0.01, ha="left", fontsize=11, fontweight="bold")


def percent_tick(share: float, _place: int | None = None) -> str:
    """A share at an axis."""
    return f"{round(100 * share, 6):g} %"


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Every k-th pixel of an image [H, W, 3], so that no side is much longer than 320."""
    step = max(1, max(image.shape[:2]) // _THUMBNAIL_PX)
    return image[::step, ::step]


def bare(axes: Axes) -> None:
    """Remove ticks and frame: the axes hold a picture or a text."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def notice(axes: Axes, text: str) -> None:
    """Say in the middle of otherwise empty axes why there is nothing to see."""
    bare(axes)
    axes.text(0.5, 0.5, text, ha="center", va="center", color=MUTED, transform=axes.transAxes)


def shorten(label: str, length: int = 18) -> str:
    """A label that fits beside a chart."""
    return label if len(label) <= length else label[: length - 1] + "…"


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
