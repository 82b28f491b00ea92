"""What is expected of a dataset, as data: each check is one expectation of Great Expectations.

`suites.py` asks them; what came out of each is put into words and rows here.
"""

import csv
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sortline.core.errors import ImageError
from sortline.dataset.settings import Severity, Validate

_SHOWN = 10

_NULL = "ExpectColumnValuesToBeNull"
_BETWEEN = "ExpectColumnValuesToBeBetween"
_IN_SET = "ExpectColumnValuesToBeInSet"


@dataclass(frozen=True)
class Check:
    """One expectation.

    Attributes:
        name: as reports show it.
        severity: what its failure means.
        table: of which it is asked.
        kind: the class of Great Expectations.
        arguments: of that class.
        required: in words.
    """

    name: str
    severity: Severity
    table: str
    kind: str
    arguments: Mapping[str, Any]
    required: str


@dataclass(frozen=True)
class Failure:
    """One row that fails a check: a file or a folder, and what was seen."""

    path: str
    seen: str


@dataclass(frozen=True)
class Outcome:
    """What came out of one check; failures are listed only when it failed."""

    check: str
    passed: bool
    severity: Severity
    required: str
    failures: tuple[Failure, ...] = ()

    def describe(self) -> str:
        """In words, with the first ten files that fail."""
        count = len(self.failures)
        lines = [f"{self.check}: {count:,} failing; required: {self.required}"]
        lines += [f"    {one.path}: {one.seen}" for one in self.failures[:_SHOWN]]
        if count > _SHOWN:
            lines.append(f"    ... and {count - _SHOWN:,} more")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """As reports list it."""
        return {
            "check": self.check,
            "passed": self.passed,
            "severity": self.severity,
            "failing": len(self.failures),
            "required": self.required,
        }


def decoding_outcome(refused: Iterable[ImageError]) -> Outcome:
    """Files that do not decode, as the outcome of a check."""
    failures = tuple(
        Failure(one.path, f"{one.reason} ({one.detail})" if one.detail else one.reason)
        for one in refused
    )
    return Outcome("decoding", not failures, "error", "every image can be decoded", failures)


def strays_outcome(strays: Mapping[str, str]) -> Outcome:
    """Files that are no part of the dataset, by path with the reason, as the outcome of a check."""
    failures = tuple(Failure(path, reason) for path, reason in strays.items())
    required = "nothing but images lies in data/SPLIT/CLASS/ (the rest is not used)"
    return Outcome("strays", not failures, "warning", required, failures)


def failed(outcomes: Iterable[Outcome], severity: Severity) -> list[Outcome]:
    """Outcomes of this severity that failed."""
    return [one for one in outcomes if not one.passed and one.severity == severity]


def write_failures(outcomes: Iterable[Outcome], target: Path) -> None:
    """Write failures.csv: a row for each file or folder that fails a check."""
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["check", "severity", "path", "seen", "required"])
        for one in outcomes:
            for row in one.failures:
                writer.writerow([one.check, one.severity, row.path, row.seen, one.required])


def checks_for(tables: Collection[str], settings: Validate) -> list[Check]:
    """Every check that can be asked of these tables."""
    checks = [
        *_class_checks(settings),
        *_duplicate_checks(settings),
        *_picture_checks(settings),
        *_outlier_checks(settings),
        *_comparisons(settings),
    ]
    return [check for check in checks if check.table in tables]


def _class_checks(settings: Validate) -> list[Check]:
    least, severity = settings.min_images_per_class, settings.severity
    return [
        Check(
            "classes", severity.classes, "folders", _BETWEEN,
            {"column": "images", "min_value": 1},
            "every split has images of every class",
        ),
        Check(
            "two classes", "error", "images", "ExpectColumnUniqueValueCountToBeBetween",
            {"column": "label", "min_value": 2},
            "at least two classes: there is something to tell apart",
        ),
        Check(
            "min images", severity.min_images, "folders", _BETWEEN,
            {"column": "images", "min_value": least},
            f"every class has at least {least} images in every split",
        ),
    ]  # fmt: skip


def _duplicate_checks(settings: Validate) -> list[Check]:
    severity, share = settings.severity, settings.max_near_duplicate_share
    return [
        Check(
            "leakage, same bytes", severity.leakage, "images", _NULL,
            {"column": "same_in_other_split"},
            "no image is in two splits",
        ),
        Check(
            "leakage, near duplicates", severity.leakage, "images", _NULL,
            {"column": "like_in_other_split"},
            "no image has a near duplicate in another split"
            f" (hashes {settings.near_duplicate_bits} bits of 256 apart or less)",
        ),
        Check(
            "two labels", severity.two_labels, "images", _NULL,
            {"column": "same_in_other_class"},
            "no image is in two classes",
        ),
        Check(
            "near duplicates", severity.near_duplicates, "images", _NULL,
            {"column": "duplicate_of", "mostly": 1.0 - share},
            f"at most {share:.2%} of the images are near duplicates of another",
        ),
    ]  # fmt: skip


def _picture_checks(settings: Validate) -> list[Check]:
    severity, least, most = settings.severity, settings.min_side_px, settings.max_side_px
    return [
        Check(
            "size, short side", severity.size, "images", _BETWEEN,
            {"column": "short_side_px", "min_value": least},
            f"every side is at least {least} px",
        ),
        Check(
            "size, long side", severity.size, "images", _BETWEEN,
            {"column": "long_side_px", "max_value": most},
            f"every side is at most {most} px",
        ),
        Check(
            "mode", severity.mode, "images", _IN_SET,
            {"column": "mode", "value_set": list(settings.modes)},
            f"every image is stored as one of {', '.join(settings.modes)}",
        ),
        Check(
            "orientation", "warning", "images", _IN_SET,
            {"column": "orientation", "value_set": [1]},
            "every image is stored upright (EXIF orientation is not applied when training or"
            " serving; `sortline ingest` turns the pixels)",
        ),
    ]  # fmt: skip


def _outlier_checks(settings: Validate) -> list[Check]:
    sigmas, share, severity = (
        settings.outlier_sigmas,
        settings.max_outlier_share,
        settings.severity,
    )
    columns = {"brightness": severity.brightness, "log_sharpness": severity.sharpness}
    return [
        Check(
            column.removeprefix("log_"), its_severity, "images",
            "ExpectColumnValueZScoresToBeLessThan",
            {"column": column, "threshold": sigmas, "double_sided": True, "mostly": 1.0 - share},
            f"at most {share:.2%} of the images are {sigmas:g} standard deviations or more"
            " from the mean",
        )
        for column, its_severity in columns.items()
    ]  # fmt: skip


def _comparisons(settings: Validate) -> list[Check]:
    severity, most = settings.severity, settings.max_class_drift
    return [
        Check(
            "counts", severity.counts, "splits", "ExpectColumnPairValuesToBeEqual",
            {"column_A": "images", "column_B": "expected_images"},
            "every split has exactly as many images as validate.expected_counts says",
        ),
        Check(
            "class drift", severity.class_drift, "classes", _BETWEEN,
            {"column": "drift", "max_value": most},
            f"no class's share of the training images is more than {most:g} from the champion's",
        ),
    ]  # fmt: skip
