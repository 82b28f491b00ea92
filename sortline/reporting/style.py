"""The look of every figure, and how one is written: whole, and with equal bytes for equal input.

Figures are built without pyplot: no global state, no display, no figure left open.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from sortline.core.files import atomic_file

_THUMBNAIL_PX = 320
DPI = 192  # Two pixels a CSS pixel: sharp on a 2x screen at the size that the font sizes mean.

# Okabe and Ito's palette (2008): told apart under every common colour-vision deficiency.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
INK, MUTED, GRID, PAPER = "#1F2933", "#616E7C", "#E4E7EB", "#FFFFFF"

BLUES = LinearSegmentedColormap.from_list("sortline_blues", ["#FFFFFF", "#7DB7DB", "#00507D"])
ORANGES = LinearSegmentedColormap.from_list("sortline_oranges", ["#FFFFFF", "#F3C46B", "#B84A00"])

_STYLE = {
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
