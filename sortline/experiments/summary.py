"""Runs of a recipe as one row, means and their spread over seeds; what the rows say, in sentences.

The sentences are made from the numbers alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import hypot
from statistics import fmean, median, stdev

from sortline.experiments.compare import NotMeasured
from sortline.experiments.records import Record

_CLEAR = 2.0  # Standard deviations by which two means have to differ to be told apart.
_CLOSE = 0.01  # Of accuracy: what a cheaper recipe may lie below the best.
_NOTICEABLE_GAP = 0.05


@dataclass(frozen=True)
class Spread:
    """A mean over seeds, and their standard deviation; None of a single one."""

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Summary:
    """A recipe over its seeds.

    Attributes:
        recipe: its name.
        records: its runs, by seed.
        missing: its runs that were not made.
    """

    recipe: str
    records: tuple[Record, ...]
    missing: tuple[NotMeasured, ...] = ()

    @property
    def measured(self) -> bool:
        """Whether there is a run at all."""
        return bool(self.records)

    @property
    def accuracy(self) -> Spread:
        """On the test split."""
        return spread([record.accuracy for record in self.records])

    @property
    def macro_f1(self) -> Spread:
        """On the test split."""
        return spread([record.macro_f1 for record in self.records])

    @property
    def gap(self) -> Spread:
        """Accuracy on the training split minus that on the validation split."""
        return spread([record.gap for record in self.records])

    @property
    def near_final_epoch(self) -> float | None:
        """Epochs to 90 % of the final accuracy, the median; None where a run never came there."""
        epochs = [record.near_final_epoch for record in self.records]
        return None if None in epochs else median(epoch for epoch in epochs if epoch is not None)

    @property
    def seconds(self) -> float:
        """Of training, the median."""
        return median(record.seconds for record in self.records)

    @property
    def latency_ms(self) -> float:
        """Of one image, the median over seeds."""
        return median(record.latency_ms for record in self.records)

    @property
    def first_val(self) -> float:
        """Accuracy on the validation split after the first epoch."""
        return fmean(record.curve[0].val for record in self.records)

    @property
    def final_val(self) -> float:
        """Accuracy of the exported weights on the validation split."""
        return fmean(record.val_accuracy for record in self.records)

    def recall(self) -> dict[str, float]:
        """Of every class on the test split."""
        labels = self.records[0].recall
        return {label: fmean(record.recall[label] for record in self.records) for label in labels}


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation (of a sample) of at least one value."""
    return Spread(fmean(values), stdev(values) if len(values) > 1 else None)


def summarise(
    recipes: Sequence[str], results: Sequence[Record | NotMeasured]
) -> tuple[Summary, ...]:
    """One summary a recipe, in the order given."""
    summaries = []
    for name in recipes:
        own = [result for result in results if result.recipe == name]
        records = sorted((r for r in own if isinstance(r, Record)), key=lambda record: record.seed)
        missing = sorted((r for r in own if isinstance(r, NotMeasured)), key=lambda run: run.seed)
        summaries.append(Summary(name, tuple(records), tuple(missing)))
    return tuple(summaries)


def percent(value: Spread) -> str:
    """A share with its spread."""
    if value.deviation is None:
        return f"{value.mean:.1%}"
    return f"{value.mean:.1%}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{100 * value.deviation:.1f}"


def points(difference: float) -> str:
    """A difference of two shares in percentage points, without a sign."""
    number = f"{abs(100 * difference):.1f}"
    return f"{number} point" if number == "1.0" else f"{number} points"


def best_of(summaries: Sequence[Summary]) -> Summary:
    """The one with the best mean accuracy; the first of equals."""
    return max(summaries, key=lambda summary: summary.accuracy.mean)


def _certainty(one: Summary, other: Summary) -> str:
    """Whether two recipes differ by more than chance of the seeds."""
    first, second = one.accuracy, other.accuracy
    if first.deviation is None or second.deviation is None:
        return "one seed does not say how much of it is chance"
    limit = _CLEAR * hypot(first.deviation, second.deviation)
    clear = abs(first.mean - second.mean) > limit
    return "more than the seeds explain" if clear else "no more than the seeds explain"


def _ranking(measured: Sequence[Summary], best: Summary) -> Iterator[str]:
    second = best_of([summary for summary in measured if summary is not best])
    by = points(best.accuracy.mean - second.accuracy.mean)
    certainty = _certainty(best, second)
    yield f"The runner-up, {second.recipe}, lies {by} behind {best.recipe}: {certainty}."
    if len(measured) > 2:
        ranked = sorted(measured, key=lambda summary: -summary.accuracy.mean)
        shown = ", ".join(f"{summary.recipe} ({percent(summary.accuracy)})" for summary in ranked)
        yield f"In order of accuracy: {shown}."


def _curves(first: Summary, best: Summary) -> str:
    start, end = best.first_val - first.first_val, best.final_val - first.final_val
    words = [
        f"starts {points(start)} {'higher' if start > 0 else 'lower'} after its first epoch"
        f" ({best.first_val:.1%} of the validation split against {first.first_val:.1%})",
        f"ends {points(end)} {'higher' if end > 0 else 'lower'}"
        f" ({best.final_val:.1%} against {first.final_val:.1%})",
    ]
    mine, theirs = best.near_final_epoch, first.near_final_epoch
    if mine is not None and theirs is not None:
        words.insert(1, f"needs {mine:g} epochs to 90 % of its final accuracy against {theirs:g}")
    return f"Beside {first.recipe}, {best.recipe} {'; '.join(words)}."


def _recalls(first: Summary, best: Summary) -> str:
    before, after = first.recall(), best.recall()
    change = {label: after[label] - before[label] for label in before}
    top, low = max(change, key=lambda k: change[k]), min(change, key=lambda k: change[k])
    gain = (
        f"From {first.recipe} to {best.recipe}, the recall of {top} changes most for the better"
        f" ({before[top]:.2f} to {after[top]:.2f})"
    )
    if change[low] < 0:
        return f"{gain}; that of {low} falls ({before[low]:.2f} to {after[low]:.2f})."
    return f"{gain}; that of no class falls."


def _learnt_by_heart(summaries: Sequence[Summary]) -> str:
    widest = max(summaries, key=lambda summary: summary.gap.mean)
    if widest.gap.mean < _NOTICEABLE_GAP:
        return (
            "No recipe learns the training split by heart: the widest gap between training and"
            f" validation is {points(widest.gap.mean)} ({widest.recipe})."
        )
    return (
        f"{widest.recipe} learns most by heart: on the training split it is"
        f" {points(widest.gap.mean)} more accurate than on the validation split."
    )


def _cheapest(summaries: Sequence[Summary], best: Summary) -> str:
    near = [s for s in summaries if best.accuracy.mean - s.accuracy.mean <= _CLOSE]
    cheap = min(near, key=lambda summary: summary.seconds)
    share = f"{cheap.records[0].trained:,} of {cheap.records[0].parameters:,} parameters"
    cost = f"{cheap.seconds:,.0f} s of training that moves {share}"
    if cheap is best:
        return f"Nothing cheaper comes within a point of {best.recipe}: {cost}."
    return (
        f"{cheap.recipe} comes within a point of {best.recipe} in {cost};"
        f" {best.recipe} takes {best.seconds:,.0f} s."
    )


def sentences(summaries: Sequence[Summary]) -> Iterator[str]:
    """What a comparison shows; the first measured recipe is what the others are held against."""
    measured = [summary for summary in summaries if summary.measured]
    if not measured:
        yield "Nothing was measured."
        return
    first, best = measured[0], best_of(measured)
    if len(measured) > 1:
        if best is first:
            yield f"Nothing is more accurate than {first.recipe} ({percent(first.accuracy)})."
        else:
            by = points(best.accuracy.mean - first.accuracy.mean)
            yield (
                f"{best.recipe} is the most accurate with {percent(best.accuracy)} of the test"
                f" split, {by} above {first.recipe} ({percent(first.accuracy)}):"
                f" {_certainty(best, first)}."
            )
            yield _curves(first, best)
            yield _recalls(first, best)
        yield from _ranking(measured, best)
    yield _learnt_by_heart(measured)
    yield _cheapest(measured, best)
    if any(record.beside > 1 for summary in measured for record in summary.records):
        yield "Runs shared the machine: seconds and latencies are upper bounds."
