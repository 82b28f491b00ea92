"""Runs of a recipe as one row: means, and their spread over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

from sortline.experiments.records import Record
from sortline.experiments.running import NotMeasured


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
        return spread([each.accuracy for each in self.records])

    @property
    def macro_f1(self) -> Spread:
        """On the test split."""
        return spread([each.macro_f1 for each in self.records])

    @property
    def gap(self) -> Spread:
        """Accuracy on the training split minus that on the validation split."""
        return spread([each.gap for each in self.records])

    @property
    def near_final_epoch(self) -> float | None:
        """Epochs to 90 % of the final accuracy, the median; None where a run never came there."""
        epochs = [each.near_final_epoch for each in self.records]
        return None if None in epochs else median(epoch for epoch in epochs if epoch is not None)

    @property
    def seconds(self) -> float:
        """Of training, the median."""
        return median(each.seconds for each in self.records)

    @property
    def latency_ms(self) -> float:
        """Of one image, the median over seeds."""
        return median(each.latency_ms for each in self.records)

    @property
    def first_val(self) -> float:
        """Accuracy on the validation split after the first epoch."""
        return fmean(each.curve[0].val for each in self.records)

    @property
    def final_val(self) -> float:
        """Accuracy of the exported weights on the validation split."""
        return fmean(each.val_accuracy for each in self.records)

    def recall(self) -> dict[str, float]:
        """Of every class on the test split."""
        labels = self.records[0].recall
        return {label: fmean(each.recall[label] for each in self.records) for label in labels}


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation (of a sample) of at least one value."""
    return Spread(fmean(values), stdev(values) if len(values) > 1 else None)


def summarise(
    recipes: Sequence[str], results: Sequence[Record | NotMeasured]
) -> tuple[Summary, ...]:
    """One summary a recipe, in the order given."""
    summaries = []
    for name in recipes:
        own = [each for each in results if each.recipe == name]
        records = sorted((r for r in own if isinstance(r, Record)), key=lambda each: each.seed)
        missing = sorted((r for r in own if isinstance(r, NotMeasured)), key=lambda each: each.seed)
        summaries.append(Summary(name, tuple(records), tuple(missing)))
    return tuple(summaries)
