"""Verdicts of a candidate against the champion: same classes, same signatures, no worse.

Both models answer for the same bytes, each with all of its classes, as they would in service. Where
their classes differ, accuracy is compared by label on the images of those classes that both have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from sortline.core.errors import ArtifactError, GateError
from sortline.evaluation.blessing import Verdict, short
from sortline.evaluation.bootstrap import Difference, paired_difference
from sortline.evaluation.champion import Champion
from sortline.evaluation.settings import EvaluateParams, GateParams
from sortline.model.contract import (
    PREDICT_TENSOR,
    SERVING_DEFAULT,
    Contract,
    differences,
    read_contract,
)
from sortline.model.local_model import Served, load_model
from sortline.model.scoring import score_files

_NO_ANSWER = ""


@dataclass(frozen=True)
class Scored:
    """The candidate: its SavedModel, digest, and answers (the rows of predictions.parquet)."""

    folder: Path
    digest: str
    rows: pd.DataFrame


def _waive(verdict: Verdict, waivers: Mapping[str, str]) -> Verdict:
    """The verdict, let through with the reason that params give; it is recorded either way."""
    waiver = waivers.get(verdict.gate)
    if waiver is None:
        hint = "" if verdict.passed else f"; to accept it, say why in gate.waivers.{verdict.gate}"
        return replace(verdict, reason=verdict.reason + hint)
    unused = f"the waiver is not needed: remove gate.waivers.{verdict.gate}"
    note = unused if verdict.passed else f"waived: {waiver}"
    return replace(verdict, passed=True, reason=f"{verdict.reason}; {note}")


def classes_verdict(
    ours: tuple[str, ...], theirs: tuple[str, ...], waivers: Mapping[str, str]
) -> Verdict:
    """Whether the candidate has the champion's classes, in the same order of ids."""
    new, gone = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
    changes = [
        f"{word} {', '.join(names)}" for word, names in (("new", new), ("gone", gone)) if names
    ]
    reason = "other classes: " + ("; ".join(changes) or "the same names with other ids")
    if same := ours == theirs:
        reason = f"the same {len(ours)} classes"
    return _waive(Verdict("champion_classes", same, list(ours), list(theirs), reason), waivers)


def signature_verdict(ours: Contract, theirs: Contract, waivers: Mapping[str, str]) -> Verdict:
    """Whether a client of the champion can call the candidate."""
    found = differences(ours, theirs)
    reason = "the same signatures"
    if found:
        reason = "other signatures (candidate against champion): " + "; ".join(found)
    return _waive(Verdict("champion_signature", not found, found, [], reason), waivers)


def accuracy_verdict(
    difference: Difference, margin: float, images: int, candidate: str, champion: str
) -> Verdict:
    """Whether the candidate is, with 95 % confidence, at most `margin` less accurate."""
    on = f"{difference.images} images"
    if difference.images < images:
        on += f" of {images} (the classes that both have)"
    reason = (
        f"candidate {short(candidate)} minus champion {short(champion)}:"
        f" {difference.observed:+.4f} in accuracy on {on}, {difference.won} gained and"
        f" {difference.lost} lost; with 95 % confidence at least {difference.lower:+.4f}"
    )
    return Verdict(
        "champion_accuracy", difference.within(margin), difference.lower, -margin, reason
    )


def _incomparable(margin: float, reason: str) -> Verdict:
    reason += "; start anew by `sortline champion use none`"
    return Verdict("champion_accuracy", False, None, -margin, reason)


def _same_model(digest: str, margin: float) -> Verdict:
    reason = f"candidate and champion are the same model, {short(digest)}"
    return Verdict("champion_accuracy", True, 0.0, -margin, reason)


def _load(champion: Champion) -> Served:
    try:
        return load_model(champion.folder)
    except ArtifactError as error:
        raise GateError(
            f"The champion cannot be read. {error} Or: `sortline champion use none`."
        ) from error


def _can_be_asked(ours: Contract, theirs: Contract) -> bool:
    """Whether the champion takes the same bytes and gives the same kind of answer."""
    other = [phrase for phrase in differences(ours, theirs) if phrase.startswith(SERVING_DEFAULT)]
    return PREDICT_TENSOR in theirs.signatures and not other


def _paired(
    champion: Champion, common: pd.DataFrame, params: EvaluateParams, root: Path
) -> Difference:
    scores = score_files(_load(champion), common, root, "champion")
    theirs = np.array(scores.names(_NO_ANSWER)) == common["label"].to_numpy(str)
    samples = params.evaluate.bootstrap_samples
    return paired_difference(common["correct"].to_numpy(bool), theirs, samples, params.seed)


def compare(candidate: Scored, champion: Champion, params: GateParams, root: Path) -> list[Verdict]:
    """The three verdicts against the champion, which is scored here on the candidate's test files.

    Raises:
        GateError: the champion cannot be loaded.
        DataError: a file below `root` is not the one that the candidate was scored on.
    """
    ours, theirs = read_contract(candidate.folder), read_contract(champion.folder)
    margin = params.gate.margin
    waivers = {str(gate): reason for gate, reason in params.gate.waivers.items()}
    before = [
        classes_verdict(ours.labels, theirs.labels, waivers),
        signature_verdict(ours, theirs, waivers),
    ]
    if candidate.digest == champion.digest:
        return [*before, _same_model(candidate.digest, margin)]
    if not _can_be_asked(ours, theirs):
        return [*before, _incomparable(margin, "the champion cannot be asked as the candidate is")]
    rows = candidate.rows
    common = rows[rows["label"].isin(set(ours.labels) & set(theirs.labels))]
    if common.empty:
        return [*before, _incomparable(margin, "no test image is of a class that both have")]
    difference = _paired(champion, common, params, root)
    digests = candidate.digest, champion.digest
    return [*before, accuracy_verdict(difference, margin, len(rows), *digests)]
