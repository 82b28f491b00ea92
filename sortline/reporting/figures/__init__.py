"""Figures of an evaluation: every file of this folder and of plugins/figures/ adds one.

    @figure("confidences", title="How sure the model is", alt="Histogram of the probabilities.")
    def confidences(evaluated: Evaluated, drawing: Figure) -> None:
        drawing.subplots().hist(evaluated.predictions["probability"])

Step `evaluate` draws each into reports/evaluation/figures/NAME.png, and `sortline report` shows
it: in the section that it names, or in one of its own. Equal input has to give equal bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sortline.core.registry import Registry
from sortline.reporting.drawing import new_picture, thumbnail, title

SCANNED_FOR: Final = "*"


@dataclass(frozen=True)
class Evaluated:
    """What figures are drawn from.

    Attributes:
        predictions: the rows of predictions.parquet, one an image of the test split.
        metrics: the contents of metrics.json.
        histories: history.csv of the phases in their order, a row an epoch.
        root: the folder below which the images' paths are.
        max_pixels: an image with more is not decoded.
        worst_mistakes: how many mistakes are to be shown, at most.
    """

    predictions: pd.DataFrame
    metrics: Mapping[str, Any]
    histories: Sequence[pd.DataFrame]
    root: Path
    max_pixels: int
    worst_mistakes: int

    @property
    def labels(self) -> list[str]:
        """The model's classes, by class id."""
        return list(self.metrics["per_class"])

    def thumbnail(self, path: str) -> np.ndarray:
        """An image of the test split, uint8 [H, W, 3], with sides of a few hundred pixels."""
        # TensorFlow with it, which a report of pictures that are drawn does without.
        from sortline.images.decode import decode_file

        return thumbnail(decode_file(self.root / path, max_pixels=self.max_pixels))


Draw = Callable[[Evaluated, Figure], None]


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the report.

    Attributes:
        title: stands above it.
        draw: draws on an empty sheet, and may change its size.
        section: of the report: training, classes, calibration or mistakes; "": one of its own.
        alt: what there is to see, for who cannot see it; the title without one.
        caption: stands below it in the report.
    """

    title: str
    draw: Draw
    section: str
    alt: str
    caption: str


FIGURES: Final = Registry[ReportFigure](__name__)


def figure(
    name: str, *, title: str, section: str = "", alt: str = "", caption: str = ""
) -> Callable[[Draw], Draw]:
    """Register a figure under the name of its file."""

    def mark(draw: Draw) -> Draw:
        FIGURES.add(
            name, ReportFigure(title, draw, section, alt or title, caption), draw.__module__
        )
        return draw

    return mark


def draw_figures(evaluated: Evaluated, folder: Path) -> None:
    """Draw every figure into `folder`, as NAME.png."""
    for name, entry in FIGURES.items():
        with new_picture(folder / f"{name}.png", 6.4, 4.8) as drawing:
            title(drawing, entry.title)
            entry.draw(evaluated, drawing)
