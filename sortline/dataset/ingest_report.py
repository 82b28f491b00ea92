"""What an ingest did: two CSV files and the tables that it prints."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sortline.core.files import atomic_file
from sortline.core.params import SPLITS, Split
from sortline.dataset.intake import Duplicate, Refusal

Key = tuple[str, Split]


@dataclass(frozen=True)
class Ingested:
    """What was found and what became of it; counts of images.

    Attributes:
        data: the dataset's folder.
        reports: where quarantine.csv and duplicates.csv are.
        found: files of the source that are not hidden.
        kept: of them, images that are now in the dataset.
        turned: of those kept, encoded again to stand upright.
        refused: by reason.
        exact: left out, the same bytes are there.
        crossing: left out, like an image of another split.
        near: kept, and in one split with an image that they are like.
        near_two_labels: of those, like an image of another class.
        before: in the dataset before, by class and split.
        new: kept, by class and split.
    """

    data: Path
    reports: Path
    found: int
    kept: int
    turned: int
    refused: Mapping[str, int]
    exact: int
    crossing: int
    near: int
    near_two_labels: int
    before: Mapping[Key, int]
    new: Mapping[Key, int]

    @property
    def labels(self) -> list[str]:
        """All classes, in the order of their ids."""
        return sorted({label for label, _ in [*self.before, *self.new]})

    @property
    def new_labels(self) -> list[str]:
        """Classes that an existing dataset did not have."""
        before = {label for label, _ in self.before}
        return [label for label in self.labels if label not in before] if before else []

    def count(self, label: str, split: Split) -> int:
        """Images of a class in a split, now."""
        return self.before.get((label, split), 0) + self.new.get((label, split), 0)


def write_reports(
    reports: Path, refused: Sequence[Refusal], duplicates: Sequence[Duplicate]
) -> None:
    """Write quarantine.csv and duplicates.csv, each whole or not at all."""
    _write_csv(reports / "quarantine.csv", Refusal, refused)
    _write_csv(reports / "duplicates.csv", Duplicate, duplicates)


def _write_csv(
    target: Path, kind: type[Refusal] | type[Duplicate], rows: Iterable[Refusal | Duplicate]
) -> None:
    with (
        atomic_file(target) as partial,
        partial.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(kind)])
        writer.writerows(sorted(astuple(row) for row in rows))


def count_reasons(refused: Iterable[Refusal]) -> dict[str, int]:
    """Refusals by reason, the most frequent first."""
    return dict(Counter(refusal.reason for refusal in refused).most_common())


def _summary_table(result: Ingested) -> Table:
    table = Table(title="Files", title_justify="left")
    table.add_column("what")
    table.add_column("files", justify="right")
    rows = [("found", result.found), ("kept", result.kept)]
    rows += [(f"quarantined: {reason}", count) for reason, count in result.refused.items()]
    rows += [
        ("left out: the same bytes are there", result.exact),
        ("left out: like one in another split", result.crossing),
        ("of those kept:", -1),
        ("  turned upright (EXIF), encoded again", result.turned),
        ("  like another one, in the same split", result.near),
        ("  like one of another class", result.near_two_labels),
    ]
    for what, count in rows:
        table.add_row(Text(what), f"{count:,}" if count >= 0 else "")
    return table


def _split_table(result: Ingested) -> Table:
    table = Table(title="Images by class and split", title_justify="left", show_footer=True)
    table.add_column("class", footer="all")
    totals = {split: sum(result.count(label, split) for label in result.labels) for split in SPLITS}
    everything = sum(totals.values())
    for split in SPLITS:
        share = totals[split] / everything if everything else 0.0
        table.add_column(split, footer=f"{totals[split]:,} ({share:.1%})", justify="right")
    table.add_column("all", footer=f"{everything:,}", justify="right")
    if result.before:
        table.add_column("new", footer=f"{result.kept:,}", justify="right")
    for label in result.labels:
        counts = [result.count(label, split) for split in SPLITS]
        cells = [f"{count:,}" for count in [*counts, sum(counts)]]
        if result.before:
            cells.append(f"{sum(result.new.get((label, split), 0) for split in SPLITS):,}")
        table.add_row(Text(label), *cells)
    return table


def print_result(result: Ingested, console: Console) -> None:
    """Print the tables, where the lists are, and what to do next."""
    console.print(_summary_table(result))
    console.print(_split_table(result))
    if result.new_labels:
        names = ", ".join(result.new_labels)
        console.print(Text(f"Warning: new classes, which no earlier model knows: {names}"))
    if result.refused or result.exact or result.crossing or result.near:
        console.print(Text(f"Every one of them: {result.reports}/quarantine.csv, duplicates.csv"))
    if result.kept:
        console.print(Text(f"Next: dvc add {result.data}, then sortline run"))
    else:
        console.print(Text(f"Nothing new: {result.data} is as it was."))
