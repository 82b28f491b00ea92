"""What drift is judged by: the evaluation's predictions, and a window of the prediction log."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from sortline.core.errors import DataError, ParamsError
from sortline.core.files import require
from sortline.core.log_files import prediction_files, read_tables
from sortline.core.paths import Paths
from sortline.core.storage import Storage
from sortline.monitoring.drift_verdict import INVALID, Answers, Seen

_PREDICTIONS: Final = "predictions.parquet"
_COLUMNS: Final = ("time", "model", "version", "sha256", "label", "probabilities", "valid")


@dataclass(frozen=True)
class Window:
    """Which rows of a log are looked at: `since` <= time < `until`, in UTC; None: no limit.

    Raises:
        ParamsError: no time is between them.
    """

    since: datetime | None = None
    until: datetime | None = None
    version: int | None = None

    def __post_init__(self) -> None:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ParamsError(
                f"No time is from {self.since.isoformat()} on and before {self.until.isoformat()}:"
                " --since has to be the earlier one."
            )


def parse_time(text: str | None) -> datetime | None:
    """A time in ISO 8601, in UTC; without an offset it is UTC already.

    Raises:
        ParamsError: it is something else.
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ParamsError(
            f"{text!r} is no time; write it as 2026-11-21, 2026-11-21T18:00 or"
            " 2026-11-21T18:00+01:00 (without an offset: UTC)."
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def read_reference(folder: Path) -> tuple[Path, Answers]:
    """Answers on the test split, from a run's folder or its `reports/evaluation`; and that run's.

    Raises:
        ArtifactError: they are not there.
        DataError: they cannot be read.
    """
    file = Paths(folder).reports / "evaluation" / _PREDICTIONS
    if not file.is_file():
        file = require(folder / _PREDICTIONS, "dvc repro evaluate")
    try:
        rows = pd.read_parquet(file)
        valid = rows["valid"].to_numpy(bool)
        names = [str(name) for name in rows.columns]
        labels = tuple(name.removeprefix("p_") for name in names if name.startswith("p_"))
        # The largest, as of the log: with a threshold, `probability` may be the smaller one's.
        confidence = rows.loc[valid, [f"p_{label}" for label in labels]].max(axis=1).tolist()
        return _root_of(file.resolve()), Answers(
            rows["sha256"].tolist(), (*labels, INVALID), rows["predicted"].tolist(), confidence
        )
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{file} cannot be read: {error}. Run `dvc repro evaluate`.") from error


def _root_of(file: Path) -> Path:
    inside = file.parent.parts[-2:] == ("reports", "evaluation")
    return file.parents[2] if inside else file.parent


def _rows(store: Storage, window: Window) -> pd.DataFrame:
    parts = []
    for table in read_tables(store, prediction_files(store, window.since), _COLUMNS):
        rows = table.to_pandas()
        keep = np.ones(len(rows), bool)
        if window.since is not None:
            keep &= (rows["time"] >= window.since).to_numpy()
        if window.until is not None:
            keep &= (rows["time"] < window.until).to_numpy()
        if window.version is not None:
            keep &= (rows["version"] == window.version).to_numpy()
        rows = rows[keep]
        confidence = [max(each, default=0.0) for each in rows["probabilities"]]
        parts.append(rows.drop(columns="probabilities").assign(confidence=confidence))
    columns = [*(name for name in _COLUMNS if name != "probabilities"), "confidence"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def read_window(store: Storage, window: Window) -> tuple[Seen, Answers]:
    """The rows of a window; of rows with the same image and version, one counts.

    Raises:
        DataError: a file of the log cannot be read.
        ArtifactError: the log cannot be read.
    """
    rows = _rows(store, window)
    once = rows.drop_duplicates(["model", "version", "sha256"])
    valid = once["valid"].to_numpy(bool)
    said = np.where(valid, once["label"], INVALID).tolist()
    labels = tuple(sorted(set(said) - {INVALID}))
    times = (
        [each.isoformat() for each in (rows["time"].min(), rows["time"].max())] if len(rows) else []
    )
    counts = rows.groupby(["model", "version"]).size()
    seen = Seen(
        log=store.address,
        since=window.since.isoformat() if window.since else None,
        until=window.until.isoformat() if window.until else None,
        first=times[0] if times else None,
        last=times[1] if times else None,
        answers=len(rows),
        images=len(once),
        versions={
            " ".join(map(str, key)): int(n) for key, n in zip(counts.index, counts, strict=True)
        },
    )
    confidence = once["confidence"][valid].tolist()
    return seen, Answers(once["sha256"].tolist(), (*labels, INVALID), said, confidence)
