"""Precision, recall and F1 of every class, the weakest first."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from sortline.reporting.drawing import BLUE, GREEN, MUTED, ORANGE, shorten
from sortline.reporting.figures import Evaluated, figure

_COLOURS = {"precision": ORANGE, "recall": BLUE, "f1": GREEN}


def draw_classes(drawing: Figure, per_class: Mapping[str, Mapping[str, float]]) -> None:
    """Draw a group of bars a class, the weakest F1 first."""
    order = sorted(per_class, key=lambda label: (per_class[label].get("f1", 0.0), label))
    rows = np.arange(len(order))
    small = len(order) > 20
    drawing.set_size_inches(8.0, 1.3 + (0.26 if small else 0.44) * max(len(order), 1))
    axes = drawing.subplots()
    for place, (key, colour) in enumerate(_COLOURS.items()):
        values = [float(per_class[label].get(key, 0.0)) for label in order]
        name = "F1" if key == "f1" else key
        bars = axes.barh(rows + (place - 1) * 0.26, values, 0.23, color=colour, label=name)
        if not small:
            axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=7, color=MUTED)
    axes.set_yticks(rows, [_class_name(label, per_class[label]) for label in order])
    axes.set_ylim(max(len(order), 1) - 0.5, -0.5)
    axes.set_xlim(0, 1.05)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    drawing.legend(loc="outside lower center", ncols=3)


def _class_name(label: str, values: Mapping[str, float]) -> str:
    support = values.get("support")
    return shorten(label) if support is None else f"{shorten(label)}  {int(support)}"


@figure(
    "per_class",
    title="Per class, the weakest first",
    section="classes",
    alt="Bar chart of precision, recall and F1 of every class; the same numbers are in the table"
    " below.",
)
def per_class(evaluated: Evaluated, drawing: Figure) -> None:
    """Draw it from the metrics."""
    draw_classes(drawing, evaluated.metrics["per_class"])
