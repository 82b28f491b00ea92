"""What the gates ask of a model: figures of its own, and to be no worse than the champion.

Candidate and champion both answer for the same bytes, each with all of its classes, as they would
in service. Where their classes differ, accuracy is compared by label on the images of those classes
that both have.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from sortline.core.errors import ArtifactError, GateError
from sortline.evaluation.blessing import short
from sortline.evaluation.champion import Champion
from sortline.evaluation.gate_settings import GateParams, GateSettings
from sortline.evaluation.gates import GATES, Candidate, Verdict
from sortline.evaluation.metrics import Difference, paired_difference
from sortline.model.contract import (
    PREDICT_TENSOR,
    SERVING_DEFAULT,
    Contract,
    differences,
    read_contract,
)


def own_verdicts(settings: GateSettings, candidate: Candidate) -> list[Verdict]:
    """Every verdict that needs no champion, by the gates' names.

    Raises:
        GateError: a gate asks for what cannot be known of this model.
        ParamsError: the file of a gate cannot be used.
    """
    return [GATES[name].judge(value, candidate) for name, value in settings.asked.items()]


def champion_verdicts(
    candidate: Candidate, champion: Champion, params: GateParams, root: Path
) -> list[Verdict]:
    """Same classes, same signatures, no worse: the champion is scored on the same test files here.

    Raises:
        GateError: the champion cannot be loaded.
        DataError: a file below `root` is not the one that the candidate was scored on.
    """
    ours, theirs = read_contract(candidate.folder), read_contract(champion.folder)
    waivers = {str(gate): reason for gate, reason in params.gate.waivers.items()}
    return [
        _waive(_classes_verdict(ours.labels, theirs.labels), waivers),
        _waive(_signature_verdict(ours, theirs), waivers),
        _accuracy_verdict(candidate, champion, (ours, theirs), params, root),
    ]


def _waive(verdict: Verdict, waivers: Mapping[str, str]) -> Verdict:
    """The verdict, let through with the reason that params give; it is recorded either way."""
    waiver = waivers.get(verdict.gate)
    if waiver is None:
        hint = "" if verdict.passed else f"; to accept it, say why in gate.waivers.{verdict.gate}"
        return replace(verdict, reason=verdict.reason + hint)
    unused = f"the waiver is not needed: remove gate.waivers.{verdict.gate}"
    note = unused if verdict.passed else f"waived: {waiver}"
    return replace(verdict, passed=True, reason=f"{verdict.reason}; {note}")


def _classes_verdict(ours: tuple[str, ...], theirs: tuple[str, ...]) -> Verdict:
    """Whether the candidate has the champion's classes, in the same order of ids."""
    new, gone = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
    changes = [
        f"{word} {', '.join(names)}" for word, names in (("new", new), ("gone", gone)) if names
    ]
    reason = "other classes: " + ("; ".join(changes) or "the same names with other ids")
    if same := ours == theirs:
        reason = f"the same {len(ours)} classes"
    return Verdict("champion_classes", same, list(ours), list(theirs), reason)


def _signature_verdict(ours: Contract, theirs: Contract) -> Verdict:
    """Whether a client of the champion can call the candidate."""
    changes = differences(ours, theirs)
    reason = "the same signatures"
    if changes:
        reason = "other signatures (candidate against champion): " + "; ".join(changes)
    return Verdict("champion_signature", not changes, changes, [], reason)


def _accuracy_verdict(
    candidate: Candidate,
    champion: Champion,
    contracts: tuple[Contract, Contract],
    params: GateParams,
    root: Path,
) -> Verdict:
    """Whether the candidate is, with 95 % confidence, at most `gate.margin` less accurate."""
    (ours, theirs), rows, margin = contracts, candidate.rows, params.gate.margin
    refused = Verdict("champion_accuracy", False, None, -margin, "")
    anew = "; start anew by `sortline champion use none`"
    if candidate.digest == champion.digest:
        reason = f"candidate and champion are the same model, {short(champion.digest)}"
        return replace(refused, passed=True, observed=0.0, reason=reason)
    other = [phrase for phrase in differences(ours, theirs) if phrase.startswith(SERVING_DEFAULT)]
    if other or PREDICT_TENSOR not in theirs.signatures:
        reason = "the champion cannot be asked as the candidate is"
        return replace(refused, reason=reason + anew)
    common = rows[rows["label"].isin(set(ours.labels) & set(theirs.labels))]
    if common.empty:
        return replace(refused, reason="no test image is of a class that both have" + anew)
    difference = _scored_difference(champion, common, params, root)
    on = f"{difference.images} images"
    if difference.images < len(rows):
        on += f" of {len(rows)} (the classes that both have)"
    reason = (
        f"candidate {short(candidate.digest)} minus champion {short(champion.digest)}:"
        f" {difference.observed:+.4f} in accuracy on {on}, {difference.won} gained and"
        f" {difference.lost} lost; with 95 % confidence at least {difference.lower:+.4f}"
    )
    return replace(
        refused, passed=difference.within(margin), observed=difference.lower, reason=reason
    )


def _scored_difference(
    champion: Champion, files: pd.DataFrame, params: GateParams, root: Path
) -> Difference:
    # TensorFlow takes seconds to import: only when there is a champion to ask.
    from sortline.evaluation.scores import score_files
    from sortline.model.local_model import load_model

    try:
        model = load_model(champion.folder)
    except ArtifactError as error:
        raise GateError(
            f"The champion cannot be read. {error} Or: `sortline champion use none`."
        ) from error
    scores = score_files(model, files, root, "champion")
    theirs = scores.valid & (np.array(scores.names) == files["label"].to_numpy(str))
    samples = params.evaluate.bootstrap_samples
    return paired_difference(files["correct"].to_numpy(bool), theirs, samples, params.seed)
