"""Labels that come later, joined to the prediction log: how accurate a version is in service.

Reads: the log, and a CSV with the columns sha256 and label. Writes: what is new in it, as one file
below `labels/` in the log; of two labels of an image, the later one counts.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sortline.core.label_files import Labels, known_labels, read_csv, write_labels
from sortline.core.log_files import open_log, prediction_files, read_tables
from sortline.core.storage import Storage
from sortline.evaluation.metrics import wilson


@dataclass(frozen=True)
class Live:
    """How a version did on the images whose label is known; each image counts once.

    Attributes:
        model: its name on the server.
        version: of the model.
        answers: in the log, labelled or not.
        labelled: images of it with a label.
        right: those for which it named that label; an image that it could not read is wrong.
        invalid: those that it could not read.
        accuracy: share of the labelled that is right.
        interval: 95 %, Wilson (1927).
    """

    model: str
    version: int
    answers: int
    labelled: int
    right: int
    invalid: int
    accuracy: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Joined:
    """What a join did.

    Attributes:
        log: its address.
        rows, duplicates, relabelled: of the CSV, see `LabelCsv`.
        unknown: images of the CSV that no answer in the log is of.
        changed: images whose earlier label, of another join, is another one.
        unseen_labels: labels of the CSV that no version in the log has ever answered.
        written: the file with what was new, in the log; None when nothing was.
        versions: those with a labelled image, by model and version.
    """

    log: str
    rows: int
    duplicates: int
    relabelled: int
    unknown: int
    changed: int
    unseen_labels: tuple[str, ...]
    written: str | None
    versions: tuple[Live, ...]


@dataclass
class _Version:
    """What is counted of a version: answers, and of the labelled images the latest answer."""

    answers: int
    latest: dict[str, tuple[datetime, str, bool]]


def _read_versions(
    store: Storage, labels: Labels
) -> tuple[dict[tuple[str, int], _Version], set[str]]:
    """By model and version, the latest answers to labelled images; and all labels ever answered."""
    columns = ("time", "model", "version", "sha256", "label", "valid")
    versions: dict[tuple[str, int], _Version] = {}
    answered: set[str] = set()
    for table in read_tables(store, prediction_files(store), columns):
        for time, model, number, sha256, label, valid in zip(
            *(table[column].to_pylist() for column in columns), strict=True
        ):
            answered.add(label)
            version = versions.setdefault((model, number), _Version(0, {}))
            version.answers += 1
            earlier = version.latest.get(sha256)
            if sha256 in labels and (earlier is None or earlier[0] <= time):
                version.latest[sha256] = (time, label, valid)
    return versions, answered


def _live(key: tuple[str, int], version: _Version, labels: Labels) -> Live:
    latest = version.latest.items()
    right = sum(valid and label == labels[sha256] for sha256, (_, label, valid) in latest)
    return Live(
        *key,
        answers=version.answers,
        labelled=len(latest),
        right=right,
        invalid=sum(not valid for _, (_, _, valid) in latest),
        accuracy=right / len(latest),
        interval=wilson(right, len(latest)),
    )


def join(store: Storage, path: Path) -> Joined:
    """Join the labels of a CSV to a log; repeated, it changes nothing.

    Raises:
        DataError: the CSV, or a file of the log, cannot be read; nothing was written.
        ArtifactError: the log cannot be read or written.
    """
    table, earlier = read_csv(path), known_labels(store)
    new = {sha256: label for sha256, label in table.labels.items() if earlier.get(sha256) != label}
    labels = {**earlier, **new}
    versions, answered = _read_versions(store, labels)
    seen = {sha256 for version in versions.values() for sha256 in version.latest}
    return Joined(
        log=store.address,
        rows=table.rows,
        duplicates=table.duplicates,
        relabelled=table.relabelled,
        unknown=len(table.labels.keys() - seen),
        changed=len(new.keys() & earlier.keys()),
        unseen_labels=tuple(sorted(set(table.labels.values()) - answered)),
        written=write_labels(store, new),
        versions=tuple(
            _live(key, version, labels)
            for key, version in sorted(versions.items())
            if version.latest
        ),
    )


def table_of(joined: Joined) -> Table:
    """Live accuracy by version, for a terminal."""
    drawn = Table(
        title="Live accuracy, by the labels known so far",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    drawn.add_column("model", no_wrap=True)
    for column in ("version", "answers", "labelled", "invalid", "accuracy", "95 % (Wilson)"):
        drawn.add_column(column, justify="right", no_wrap=True)
    for live in joined.versions:
        low, high = live.interval
        counts = (str(live.version), f"{live.answers:,}", f"{live.labelled:,}", f"{live.invalid:,}")
        drawn.add_row(live.model, *counts, f"{live.accuracy:.1%}", f"{low:.1%} to {high:.1%}")
    return drawn


def _print(joined: Joined) -> None:
    print(
        f"{joined.rows:,} labels: {joined.duplicates:,} of an image named before"
        f" ({joined.relabelled:,} with another label), {joined.unknown:,} of images that are not"
        f" in the log, {joined.changed:,} that replace an earlier join's."
    )
    if joined.unseen_labels:
        print(
            f"No version ever answered: {', '.join(joined.unseen_labels)}. Are these spelt right?"
        )
    print(f"Written: {joined.written or 'nothing, all were known'}")
    if joined.versions:
        Console().print(table_of(joined))
    else:
        print("No labelled image is in the log: there is no live accuracy yet.")


def command(address: str, path: Path, *, as_json: bool) -> None:
    """`sortline labels join`: see `join`."""
    with open_log(address) as store:
        joined = join(store, path)
    if as_json:
        print(json.dumps(asdict(joined), indent=2, ensure_ascii=False))
    else:
        _print(joined)
