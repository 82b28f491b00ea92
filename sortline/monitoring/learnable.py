"""Whether a retraining would have anything to learn: data that the model has not seen.

Without any, a retraining would end where the last one did, and the alert is for a person.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sortline.core.errors import DataError, ParamsError
from sortline.core.params import read_yaml
from sortline.core.paths import Paths


@dataclass(frozen=True)
class Evidence:
    """What is known of new data.

    Attributes:
        said: somebody says that there is some.
        before: MD5 of the dataset that the model learned from; None: not known.
        now: MD5 of the dataset that data.dvc pins now; None: there is none here.
        labelled: images of the window with a label that were in no training.
        needed: of those, at least.
    """

    said: bool
    before: str | None
    now: str | None
    labelled: int
    needed: int


def decide(drifted: bool, found: Evidence) -> tuple[bool, str]:
    """Whether to retrain, and why."""
    if not drifted:
        return False, "there is no drift"
    if found.said:
        return True, "there is new data, as --new-data says"
    if found.now and found.before and found.now != found.before:
        return True, f"data.dvc pins {found.now}; the model learned from {found.before}"
    if found.labelled >= found.needed:
        return True, (
            f"{found.labelled} labelled images of the window were in no training: bring them in by"
            " `sortline ingest --add` first"
        )
    data = "data.dvc pins what the model learned from"
    if not (found.now and found.before):
        data = "what the model learned from is not known (--lineage)"
    return False, (
        f"there is nothing new to learn from: {data}, and {found.labelled} labelled images of the"
        f" window are new, of {found.needed} that it takes (drift.min_new_labels)"
    )


def _pinned(content: Any) -> str | None:
    """The dataset's MD5 in a data.dvc, a dvc.lock or a lineage.json; None when it has none."""
    try:
        if "made" in content:
            found = content["made"]["data"]
        elif "stages" in content:
            deps = content["stages"]["validate"]["deps"]
            found = next(each["md5"] for each in deps if each["path"] == "data")
        else:
            found = content["outs"][0]["md5"]
    except (KeyError, IndexError, TypeError, StopIteration):
        return None
    return str(found) if found else None


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".json":
            return json.loads(path.read_text(encoding="utf-8"))
        return read_yaml(path)
    except (OSError, ValueError, ParamsError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def learned_from(lineage: Path | None, root: Path) -> str | None:
    """MD5 of the dataset of a model; None when it cannot be known.

    Args:
        lineage: its lineage.json, or a data.dvc.
        root: where its reports are, if no lineage is given: dvc.lock there says what they were
            made from, or data.dvc when that is not there.

    Raises:
        DataError: a file cannot be read, or the lineage names no dataset.
    """
    if lineage is not None:
        found = _pinned(_read(lineage))
        if found is None:
            raise DataError(
                f"{lineage} names no dataset; give the version's assets.extra/lineage.json, or the"
                " data.dvc that its model was trained on."
            )
        return found
    files = (root / "dvc.lock", root / "data.dvc")
    return next((_pinned(_read(file)) for file in files if file.is_file()), None)


def pinned_now(root: Path) -> str | None:
    """MD5 of the dataset that data.dvc pins; None when there is no such file."""
    file = root / "data.dvc"
    return _pinned(_read(file)) if file.is_file() else None


def unseen(images: Collection[str], labels: Collection[str], root: Path) -> int:
    """How many of these images have a label and are not in the manifest below `root`, if any."""
    labelled = set(images) & set(labels)
    manifest = Paths(root).manifest
    if labelled and manifest.is_file():
        labelled -= set(pd.read_parquet(manifest, columns=["sha256"])["sha256"])
    return len(labelled)
