"""What the numbers of a comparison say, in sentences made from the numbers alone."""

from collections.abc import Iterator, Sequence
from math import hypot

from sortline.experiments.summary import Spread, Summary

_CLEAR = 2.0  # Standard deviations by which two means have to differ to be told apart.
_CLOSE = 0.01  # Of accuracy: what a cheaper recipe may lie below the best.
_NOTICEABLE_GAP = 0.05


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
    return max(summaries, key=lambda each: each.accuracy.mean)


def _apart(one: Summary, other: Summary) -> bool | None:
    """Whether two recipes differ by more than chance of the seeds; None when one seed hides it."""
    first, second = one.accuracy, other.accuracy
    if first.deviation is None or second.deviation is None:
        return None
    return abs(first.mean - second.mean) > _CLEAR * hypot(first.deviation, second.deviation)


def _certainty(one: Summary, other: Summary) -> str:
    clear = _apart(one, other)
    if clear is None:
        return "one seed does not say how much of it is chance"
    return "more than the seeds explain" if clear else "no more than the seeds explain"


def _gain(first: Summary, best: Summary) -> str:
    by = points(best.accuracy.mean - first.accuracy.mean)
    return (
        f"{best.recipe} is the most accurate with {percent(best.accuracy)} of the test split, {by}"
        f" above {first.recipe} ({percent(first.accuracy)}): {_certainty(best, first)}."
    )


def _order(summaries: Sequence[Summary]) -> str:
    ranked = sorted(summaries, key=lambda each: -each.accuracy.mean)
    shown = ", ".join(f"{each.recipe} ({percent(each.accuracy)})" for each in ranked)
    return f"In order of accuracy: {shown}."


def _runner_up(summaries: Sequence[Summary], best: Summary) -> str:
    second = best_of([each for each in summaries if each is not best])
    by = points(best.accuracy.mean - second.accuracy.mean)
    return (
        f"The runner-up, {second.recipe}, lies {by} behind {best.recipe}:"
        f" {_certainty(best, second)}."
    )


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
    said = (
        f"From {first.recipe} to {best.recipe}, the recall of {top} changes most for the better"
        f" ({before[top]:.2f} to {after[top]:.2f})"
    )
    if change[low] < 0:
        return f"{said}; that of {low} falls ({before[low]:.2f} to {after[low]:.2f})."
    return f"{said}; that of no class falls."


def _learnt_by_heart(summaries: Sequence[Summary]) -> str:
    widest = max(summaries, key=lambda each: each.gap.mean)
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
    cheap = min(near, key=lambda each: each.seconds)
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
    measured = [each for each in summaries if each.measured]
    if not measured:
        yield "Nothing was measured."
        return
    first, best = measured[0], best_of(measured)
    if len(measured) > 1:
        if best is first:
            yield f"Nothing is more accurate than {first.recipe} ({percent(first.accuracy)})."
        else:
            yield _gain(first, best)
            yield _curves(first, best)
            yield _recalls(first, best)
        yield _runner_up(measured, best)
        if len(measured) > 2:
            yield _order(measured)
    yield _learnt_by_heart(measured)
    yield _cheapest(measured, best)
    if any(record.beside > 1 for each in measured for record in each.records):
        yield "Runs shared the machine: seconds and latencies are upper bounds."
