"""A comparison as Markdown, and as one page with learning curves that opens without a network."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from sortline.core.files import atomic_dir, write_text
from sortline.experiments.summary import Spread, Summary, best_of, percent, sentences
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
from sortline.reporting.pages import markdown_table, render_page
from sortline.reporting.report import read_picture

COLUMNS = (
    "recipe",
    "test accuracy",
    "macro-F1",
    "train − val, points",
    "epochs to 90 %",
    "training",
    "trained / all parameters",
    "size",
    "latency, one image",
)
NOT_MEASURED = "not measured"
_ENDS = 10  # Classes shown of those that gain most, and of those that lose most.
_PURPLE, _SKY = "#CC79A7", "#56B4E9"  # The rest of Okabe and Ito's palette.
_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, _PURPLE, _SKY, INK)
_LINES = ("-", "--", ":")


@dataclass(frozen=True)
class Setting:
    """What was compared on.

    Attributes:
        data: hash of the dataset.
        commit: of the repository.
        budget: in words.
    """

    data: str
    commit: str
    budget: str


def _number(value: Spread, scale: float, digits: int) -> str:
    shown = f"{scale * value.mean:.{digits}f}"
    if value.deviation is None:
        return shown
    return f"{shown} ± {scale * value.deviation:.{digits}f}"


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f}" if count >= 100_000 else f"{count / 1e6:.4f}"


def _cells(summary: Summary) -> list[str]:
    """The row of a recipe, in the order of `COLUMNS`."""
    if not summary.measured:
        reason = summary.missing[0].reason if summary.missing else "no run"
        return [summary.recipe, f"{NOT_MEASURED}: {reason}", *[""] * (len(COLUMNS) - 2)]
    first, epochs = summary.records[0], summary.near_final_epoch
    return [
        summary.recipe,
        percent(summary.accuracy),
        _number(summary.macro_f1, 1, 3),
        _number(summary.gap, 100, 1),
        "never" if epochs is None else f"{epochs:g}",
        f"{summary.seconds:,.0f} s",
        f"{_millions(first.trained)} / {_millions(first.parameters)} M",
        f"{first.size_bytes / 1e6:.1f} MB",
        f"{summary.latency_ms:.1f} ms",
    ]


def recall_rows(summaries: Sequence[Summary]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the recalls of the first recipe and of the best one, by class.

    Those that gain most come first; of hundreds of classes, those in the middle are one row.
    Without a second recipe there is no table.
    """
    measured = [summary for summary in summaries if summary.measured]
    if len(measured) < 2:
        return [], []
    first, best = measured[0], best_of(measured)
    if best is first:
        best = best_of(measured[1:])
    before, after = first.recall(), best.recall()
    order = sorted(before, key=lambda label: (before[label] - after[label], label))
    cells = [
        [
            label,
            f"{before[label]:.2f}",
            f"{after[label]:.2f}",
            f"{after[label] - before[label]:+.2f}",
        ]
        for label in order
    ]
    if (between := len(cells) - 2 * _ENDS) > _ENDS:
        cells[_ENDS:-_ENDS] = [[f"the other {between}", "", "", ""]]
    return ["class", first.recipe, best.recipe, "change"], cells


def partial_rows(summaries: Sequence[Summary]) -> list[str]:
    """What was left out of rows that have some of their seeds."""
    return [
        f"{summary.recipe}, seed {run.seed}: {NOT_MEASURED}: {run.reason}"
        for summary in summaries
        if summary.measured
        for run in summary.missing
    ]


def described(summaries: Sequence[Summary], setting: Setting) -> str:
    """Dataset, budget and commit in a sentence."""
    records = [record for summary in summaries for record in summary.records]
    images = ""
    if records:
        counts = records[0].images
        split = " / ".join(f"{counts[name]:,}" for name in ("train", "val", "test"))
        images = f"{split} images in {len(records[0].recall)} classes, "
    return (
        f"{images}data {setting.data.split('.')[0][:12]}, one split; {setting.budget}; commit"
        f" {setting.commit[:12]}. ± is the standard deviation over seeds."
    )


def as_markdown(summaries: Sequence[Summary], setting: Setting) -> str:
    """The whole comparison as Markdown."""
    columns, recalls = recall_rows(summaries)
    parts = [
        described(summaries, setting),
        markdown_table(COLUMNS, [_cells(summary) for summary in summaries]),
        "\n".join(f"- {line}" for line in [*sentences(summaries), *partial_rows(summaries)]),
    ]
    if recalls:
        parts.append("Recall by class:")
        parts.append(markdown_table(columns, recalls))
    return "\n\n".join(parts) + "\n"


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


def draw_curves(summaries: Sequence[Summary], target: Path) -> None:
    """Draw the accuracy on the validation split over epochs, a line a recipe, as PNG.

    A line is the mean of the seeds, its band goes from the least to the largest.
    """
    measured = [summary for summary in summaries if summary.measured]
    with new_picture(target, 9.0, 4.6) as drawn:
        axes = drawn.subplots()
        if not measured:
            notice(axes, "nothing was measured")
            return
        styles = cycle((colour, line) for line in _LINES for colour in _COLOURS)
        for summary, (colour, line) in zip(measured, styles, strict=False):
            epochs, low, mean, high = _bands(summary)
            marker = "o" if len(epochs) < 40 else None
            name = shorten(summary.recipe, 26)
            axes.plot(epochs, mean, line, color=colour, marker=marker, markersize=3, label=name)
            if len(summary.records) > 1:
                axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set(xlabel="epoch, over all phases", title="Accuracy on the validation split")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
        axes.grid()
        drawn.legend(loc="outside right upper")


def write_pages(target: Path, summaries: Sequence[Summary], setting: Setting) -> Path:
    """Write the folder `target` whole: comparison.html, comparison.md, curves.png."""
    with atomic_dir(target) as folder:
        draw_curves(summaries, folder / "curves.png")
        write_text(folder / "comparison.md", as_markdown(summaries, setting))
        columns, recalls = recall_rows(summaries)
        context = {
            "about": described(summaries, setting),
            "sentences": list(sentences(summaries)),
            "partial": partial_rows(summaries),
            "columns": COLUMNS,
            "rows": [(_cells(summary), not summary.measured) for summary in summaries],
            "recall_columns": columns,
            "recalls": recalls,
            "curves": read_picture(folder, "curves.png", "sortline compare"),
        }
        write_text(folder / "comparison.html", render_page("comparison.html.j2", context))
    return target
