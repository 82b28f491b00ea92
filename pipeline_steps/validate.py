"""Step validate: decode every image once, and refuse a dataset that would mislead.

Reads: data/, champion/ (for the drift of class shares).
Writes: artifacts/manifest.parquet, reports/validation.json, reports/validation/ (failures.csv and
the Data Docs, data_docs/index.html).
Refuses: images that do not decode, and whatever fails an expectation of severity "error". The
reports are then there, the manifest is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sortline.core.entry import step_main
from sortline.core.errors import DataError, ValidationError
from sortline.core.files import atomic_dir, atomic_file, remove, write_json
from sortline.core.params import SPLITS
from sortline.core.paths import Paths
from sortline.dataset.expectations import (
    Outcome,
    checks_for,
    decoding_outcome,
    failed,
    strays_outcome,
    write_failures,
)
from sortline.dataset.manifest import list_images, mark_core, measure
from sortline.dataset.settings import ValidateParams
from sortline.dataset.suites import WITHOUT, build_tables, read_champion_counts, run_checks
from sortline.reporting.data_docs import write_data_docs

_FAILURES = "reports/validation/failures.csv"


class Params(ValidateParams):
    """The sections of params.yaml that this step reads: images and validate."""


@dataclass(frozen=True)
class Validation:
    """The accepted dataset.

    Attributes:
        frame: the manifest.
        outcomes: of every check.
        skipped: checks that were not asked, with the reason.
    """

    frame: pd.DataFrame
    outcomes: tuple[Outcome, ...]
    skipped: tuple[str, ...]


def summarise(
    images: pd.DataFrame, outcomes: Sequence[Outcome], skipped: Sequence[str]
) -> dict[str, Any]:
    """Small flat numbers for `dvc metrics`, and the list of checks for the report."""
    return {
        "images": len(images),
        **{split: int((images["split"] == split).sum()) for split in SPLITS},
        "core": int(images["core"].sum()),
        "classes": int(images["label"].nunique()),
        "near_duplicates": int(images["duplicate_of"].notna().sum()),
        "failed_errors": len(failed(outcomes, "error")),
        "failed_warnings": len(failed(outcomes, "warning")),
        "skipped": list(skipped),
        "checks": [one.to_json() for one in outcomes],
    }


def run(params: Params, paths: Paths) -> Validation:
    """Do the step.

    Raises:
        ValidationError: a check of severity "error" failed.
        DataError: the dataset is missing, or not all of it can be decoded.
    """
    settings, report = params.validate_, paths.reports / "validation.json"
    champion_counts = read_champion_counts(paths.champion)
    listing = list_images(paths.root)
    measured = measure(
        paths.root, listing.images, max_pixels=params.images.max_pixels, kept=paths.measured
    )
    decoding, strays = decoding_outcome(measured.refused), strays_outcome(listing.strays)
    if measured.refused:
        remove(paths.manifest)
        remove(report)
        with atomic_dir(paths.reports / "validation") as folder:
            write_failures([decoding, strays], folder / "failures.csv")
        raise DataError(
            f"the dataset is refused.\n  {decoding.describe()}\n"
            f"All are listed in {_FAILURES}. Delete or replace them, or run"
            " `sortline ingest SRC`, which puts such files aside with the reason."
        )
    frame = mark_core(measured.frame, paths.root)
    tables = build_tables(frame, settings, champion_counts)
    skipped = tuple(note for table, note in WITHOUT.items() if table not in tables)
    checked, results = run_checks(tables, checks_for(tables, settings))
    outcomes = (decoding, *checked, strays)
    with atomic_dir(paths.reports / "validation") as folder:
        rows = [one.to_json() for one in outcomes]
        write_data_docs(folder / "data_docs", rows, skipped, results)
        write_failures(outcomes, folder / "failures.csv")
    write_json(report, summarise(tables["images"], outcomes, skipped))
    _print(frame, outcomes, skipped)
    if errors := failed(outcomes, "error"):
        remove(paths.manifest)
        listed = "\n".join(f"  {one.describe()}" for one in errors)
        raise ValidationError(
            f"the dataset is refused: {len(errors)} of {len(outcomes)} checks failed.\n{listed}\n"
            f"All are listed in {_FAILURES}. Change the dataset (`sortline ingest` keeps duplicates"
            " together and bad files out), or the limits and severities under `validate` in"
            " params.yaml."
        )
    with atomic_file(paths.manifest) as partial:  # Equal rows give equal bytes.
        frame.to_parquet(partial, engine="pyarrow", compression="zstd", index=False)
    return Validation(frame, outcomes, skipped)


def _print(frame: pd.DataFrame, outcomes: Sequence[Outcome], skipped: Sequence[str]) -> None:
    passed = sum(one.passed for one in outcomes)
    print(f"{len(frame):,} images of {frame['label'].nunique()} classes; {passed} checks passed")
    for note in skipped:
        print(f"  skipped: {note}")
    for outcome in failed(outcomes, "warning"):
        print(f"  warning: {outcome.describe()}")


def main() -> None:
    """Run the step in the current folder."""
    step_main("validate", Params, run)


if __name__ == "__main__":
    main()
