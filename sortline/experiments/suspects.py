"""Which labels are probably wrong: by the classifier, and by a copy that is labelled otherwise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BY_CLASSIFIER, BY_DUPLICATE, BY_BOTH = "classifier", "duplicate", "classifier and duplicate"


@dataclass(frozen=True)
class Suspect:
    """An image whose label is to be looked at.

    Attributes:
        row: of the image.
        given: id of its label.
        suggested: id of the class that it probably is.
        given_probability: that the label is right, by the classifier.
        suggested_probability: of the class suggested.
        found_by: `classifier`, `duplicate`, or both.
        twin: row of an exact or near duplicate with another label; None without one.
    """

    row: int
    given: int
    suggested: int
    given_probability: float
    suggested_probability: float
    found_by: str
    twin: int | None


def issues(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Rows whose labels are probably wrong, the least probable label first.

    Confident learning (C. Northcutt, L. Jiang, I. Chuang, "Confident Learning: Estimating
    Uncertainty in Dataset Labels", JAIR 2021), as cleanlab implements it: as many images of a class
    are pruned as the confident joint says are labelled wrongly.
    """
    from cleanlab.filter import find_label_issues

    found = find_label_issues(
        labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1
    )
    return np.asarray(found, np.int64)


def twins(labels: Sequence[int], groups: Sequence[int]) -> dict[int, int]:
    """For each row that has a duplicate with another label, the first such duplicate."""
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    found = {}
    for rows in members.values():
        for row in rows:
            others = [other for other in rows if labels[other] != labels[row]]
            if others:
                found[row] = others[0]
    return found


def _suggested(row: int, given: int, probabilities: npt.NDArray[np.float64]) -> int:
    others = probabilities[row].copy()
    others[given] = -1.0
    return int(others.argmax())


def suspects(
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float64],
    groups: Sequence[int],
) -> Iterator[Suspect]:
    """Every suspect, the least probable label first; copies with two labels are all among them.

    Args:
        labels: class ids [N].
        probabilities: of the classes, out of fold, [N, C].
        groups: equal for duplicates, [N].
    """
    paired = twins([int(label) for label in labels], groups)
    by_classifier = {int(row) for row in issues(labels, probabilities)}
    rows = sorted({*by_classifier, *paired}, key=lambda r: (probabilities[r, labels[r]], r))
    for row in rows:
        given, twin = int(labels[row]), paired.get(row)
        suggested = _suggested(row, given, probabilities)
        if row not in by_classifier and twin is not None:
            suggested = int(labels[twin])
        found_by = BY_CLASSIFIER if twin is None else BY_DUPLICATE
        if row in by_classifier and twin is not None:
            found_by = BY_BOTH
        yield Suspect(
            row,
            given,
            suggested,
            float(probabilities[row, given]),
            float(probabilities[row, suggested]),
            found_by,
            twin,
        )
