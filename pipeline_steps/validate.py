"""Step validate: decode every image once, and refuse a dataset that would mislead.

Reads: data/, champion/ (for the drift of class shares).
Writes: artifacts/manifest.parquet, reports/validation.json, reports/validation/ (failures.csv and
the Data Docs, data_docs/index.html).
Refuses: images that do not decode, and whatever fails an expectation of severity "error". The
reports are then there, the manifest is not.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sortline.core.entry import step_main
from sortline.core.errors import ArtifactError, DataError, ImageError, ValidationError
from sortline.core.files import atomic_dir, read_json, remove, write_json
from sortline.core.params import SPLITS
from sortline.core.paths import Paths
from sortline.dataset.expectations import Failure, Outcome, checks_for
from sortline.dataset.manifest import list_images, mark_core, measure, write_manifest
from sortline.dataset.manifest_tables import Tables, build_tables
from sortline.dataset.settings import ValidateParams
from sortline.dataset.suites import run_checks
from sortline.reporting.data_docs import write_data_docs

_SHOWN = 10
_FAILURES = "reports/validation/failures.csv"
_CHAMPION_MADE_BY = "sortline champion use URI"


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


def failed(outcomes: Iterable[Outcome], severity: str) -> list[Outcome]:
    """Outcomes of this severity that failed."""
    return [one for one in outcomes if not one.passed and one.severity == severity]


def describe(outcome: Outcome) -> str:
    """A failed check in words, with its first ten files."""
    count = len(outcome.failures)
    lines = [f"{outcome.check}: {count:,} failing; required: {outcome.required}"]
    lines += [f"    {one.path}: {one.seen}" for one in outcome.failures[:_SHOWN]]
    if count > _SHOWN:
        lines.append(f"    ... and {count - _SHOWN:,} more")
    return "\n".join(lines)


def summarise(
    tables: Tables, outcomes: Sequence[Outcome], skipped: Sequence[str]
) -> dict[str, Any]:
    """Small flat numbers for `dvc metrics`, and the list of checks for the report."""
    frame = tables["images"]
    return {
        "images": len(frame),
        **{split: int((frame["split"] == split).sum()) for split in SPLITS},
        "core": int(frame["core"].sum()),
        "classes": int(frame["label"].nunique()),
        "near_duplicates": int(frame["duplicate_of"].notna().sum()),
        "failed_errors": len(failed(outcomes, "error")),
        "failed_warnings": len(failed(outcomes, "warning")),
        "skipped": list(skipped),
        "checks": [_row(one) for one in outcomes],
    }


def stray_outcome(strays: dict[str, str]) -> Outcome:
    """Files that are no part of the dataset, as an outcome of a check."""
    failures = tuple(Failure(path, reason) for path, reason in strays.items())
    required = "nothing but images lies in data/SPLIT/CLASS/ (the rest is not used)"
    return Outcome("strays", not failures, "warning", required, failures)


def refused_outcome(refused: Iterable[ImageError]) -> Outcome:
    """Files that do not decode, as an outcome of a check."""
    failures = tuple(
        Failure(one.path, f"{one.reason} ({one.detail})" if one.detail else one.reason)
        for one in refused
    )
    return Outcome("decoding", not failures, "error", "every image can be decoded", failures)


def skipped_checks(params: Params, champion_counts: dict[str, int] | None) -> tuple[str, ...]:
    """What is not asked, and why."""
    skipped = []
    if params.validate_.expected_counts is None:
        skipped.append("counts: validate.expected_counts is null")
    if champion_counts is None:
        skipped.append("class drift: there is no champion whose data could be compared")
    return tuple(skipped)


def read_champion_counts(champion: Path) -> dict[str, int] | None:
    """Training images a class of the champion; None when there is no champion that says.

    Raises:
        ArtifactError: there are several, or its contract cannot be read.
    """
    found = sorted(champion.glob("**/assets.extra/contract.json"))
    if len(found) > 1:
        raise ArtifactError(
            f"{champion} holds {len(found)} models; wanted one. Run `{_CHAMPION_MADE_BY}` again."
        )
    contract = read_json(found[0], _CHAMPION_MADE_BY) if found else {}
    counts = contract.get("train_class_counts") or {}
    return (
        {str(label): int(count) for label, count in counts.items()}
        if any(counts.values())
        else None
    )


def run(params: Params, paths: Paths) -> Validation:
    """Do the step.

    Raises:
        ValidationError: a check of severity "error" failed.
        DataError: the dataset is missing, or not all of it can be decoded.
    """
    settings = params.validate_
    champion_counts = read_champion_counts(paths.champion)
    listing = list_images(paths.root)
    measured = measure(
        paths.root, listing.images, max_pixels=params.images.max_pixels, kept=paths.measured
    )
    strays = stray_outcome(listing.strays)
    if measured.refused:
        _refuse_files(paths, [refused_outcome(measured.refused), strays])
    frame = mark_core(measured.frame, paths.root)
    tables = build_tables(frame, settings, champion_counts)
    skipped = skipped_checks(params, champion_counts)
    found, results = run_checks(tables, checks_for(tables, settings))
    outcomes = [refused_outcome([]), *found, strays]
    with atomic_dir(paths.reports / "validation") as folder:
        write_data_docs(folder / "data_docs", [_row(one) for one in outcomes], skipped, results)
        _write_failures(outcomes, folder / "failures.csv")
    write_json(paths.reports / "validation.json", summarise(tables, outcomes, skipped))
    _report(frame, outcomes, skipped, paths)
    write_manifest(frame, paths.manifest)
    return Validation(frame, tuple(outcomes), skipped)


def _refuse_files(paths: Paths, outcomes: Sequence[Outcome]) -> None:
    remove(paths.manifest)
    remove(paths.reports / "validation.json")
    with atomic_dir(paths.reports / "validation") as folder:
        _write_failures(outcomes, folder / "failures.csv")
    raise DataError(
        f"the dataset is refused.\n  {describe(outcomes[0])}\n"
        f"All are listed in {_FAILURES}. Delete or replace them, or run"
        " `sortline ingest SRC`, which puts such files aside with the reason."
    )


def _report(
    frame: pd.DataFrame, outcomes: Sequence[Outcome], skipped: Sequence[str], paths: Paths
) -> None:
    errors, warnings = failed(outcomes, "error"), failed(outcomes, "warning")
    passed = len(outcomes) - len(errors) - len(warnings)
    print(f"{len(frame):,} images of {frame['label'].nunique()} classes; {passed} checks passed")
    for note in skipped:
        print(f"  skipped: {note}")
    for outcome in warnings:
        print(f"  warning: {describe(outcome)}")
    if errors:
        remove(paths.manifest)
        listed = "\n".join(f"  {describe(one)}" for one in errors)
        raise ValidationError(
            f"the dataset is refused: {len(errors)} of {len(outcomes)} checks failed.\n{listed}\n"
            f"All are listed in {_FAILURES}. Change the dataset (`sortline ingest` keeps duplicates"
            " together and bad files out), or the limits and severities under `validate` in"
            " params.yaml."
        )


def _row(outcome: Outcome) -> dict[str, Any]:
    return {
        "check": outcome.check,
        "passed": outcome.passed,
        "severity": outcome.severity,
        "failing": len(outcome.failures),
        "required": outcome.required,
    }


def _write_failures(outcomes: Iterable[Outcome], target: Path) -> None:
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["check", "severity", "path", "seen", "required"])
        for one in outcomes:
            for failure in one.failures:
                row = asdict(failure)
                writer.writerow([one.check, one.severity, row["path"], row["seen"], one.required])


def main() -> None:
    """Run the step in the current folder."""
    step_main("validate", Params, run)


if __name__ == "__main__":
    main()
