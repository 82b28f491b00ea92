"""What the gates ask of a model: figures of its own, and to be no worse than the champion.

Candidate and champion both answer for the same bytes, each with all of its classes, as they would
in service. Where their classes differ, accuracy is compared by label on the images of those classes
that both have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sortline.core.errors import ArtifactError, GateError
from sortline.evaluation.blessing import Verdict, short
from sortline.evaluation.champion import Champion
from sortline.evaluation.metrics import Difference, paired_difference, wilson
from sortline.evaluation.scores import score_files
from sortline.evaluation.settings import Gate, GateParams
from sortline.model.contract import (
    PREDICT_TENSOR,
    SERVING_DEFAULT,
    Contract,
    differences,
    read_contract,
)
from sortline.model.local_model import load_model


@dataclass(frozen=True)
class Candidate:
    """What is known of the exported model.

    Attributes:
        folder: its SavedModel.
        digest: its `model_digest`.
        size_mb: of all its files, 10^6 bytes each.
        metrics: the contents of metrics.json.
        latency: the contents of latency.json.
        rows: the rows of predictions.parquet.
    """

    folder: Path
    digest: str
    size_mb: float
    metrics: dict[str, Any]
    latency: dict[str, Any]
    rows: pd.DataFrame


def _with_interval(value: float, interval: Sequence[float]) -> str:
    """A share and its error bar, e.g. `0.927 (95 %: 0.915 to 0.938)`."""
    low, high = interval
    return f"{value:.3f} (95 %: {low:.3f} to {high:.3f})"


def _at_least(gate: str, observed: float, floor: float | None, reason: str) -> list[Verdict]:
    return [] if floor is None else [Verdict(gate, observed >= floor, observed, floor, reason)]


def _at_most(gate: str, observed: float, cap: float | None, reason: str) -> list[Verdict]:
    return [] if cap is None else [Verdict(gate, observed <= cap, observed, cap, reason)]


def own_verdicts(gate: Gate, candidate: Candidate) -> list[Verdict]:
    """Every verdict that needs no champion, in the order of params.yaml; null is not asked.

    Raises:
        GateError: see `ranking_verdicts`.
    """
    figures, latency, size = candidate.metrics, candidate.latency, candidate.size_mb
    accuracy, f1, ece = figures["accuracy"], figures["macro_f1"], figures["ece"]
    gap = figures["gaps"]["train_test"]
    accuracy_bar = _with_interval(accuracy, figures["intervals"]["accuracy"])
    f1_bar = _with_interval(f1, figures["intervals"]["macro_f1"])
    on = f"on {figures['images']} test images"
    took = (
        f"p50 {latency['p50_ms']:.1f} ms (p95 {latency['p95_ms']:.1f}) against"
        f" {latency['reference']['p50_ms']:.1f} ms of the reference, {latency['calls']} calls of"
        f" each in turns on {latency['machine']['cpu']}"
    )
    by_heart = f"accuracy {gap + accuracy:.3f} on train minus {accuracy_bar} on test"
    files = f"{size:.1f} MB of files in artifacts/saved_model"
    return [
        *_at_least("min_accuracy", accuracy, gate.min_accuracy, f"accuracy {accuracy_bar} {on}"),
        *_at_least("min_macro_f1", f1, gate.min_macro_f1, f"macro-F1 {f1_bar} {on}"),
        *_recall_verdict(gate.min_recall, figures["per_class"]),
        *ranking_verdicts(gate, figures.get("two_classes")),
        *_at_most("max_ece", ece, gate.max_ece, f"calibration error {ece:.3f} in 15 bins {on}"),
        *_at_most("max_train_test_gap", gap, gate.max_train_test_gap, by_heart),
        *_at_most("max_latency_ratio", latency["ratio"], gate.max_latency_ratio, took),
        *_at_most("max_size_mb", size, gate.max_size_mb, files),
    ]


def _recall_verdict(
    floor: float | None, per_class: Mapping[str, Mapping[str, Any]]
) -> list[Verdict]:
    """The floor under every class's recall; the reason names the worst class."""
    worst = min(per_class, key=lambda label: (per_class[label]["recall"], label))
    recall, images = per_class[worst]["recall"], per_class[worst]["support"]
    bar = _with_interval(recall, wilson(round(recall * images), images))
    below = sum(1 for figures in per_class.values() if floor and figures["recall"] < floor)
    reason = f"worst class {worst}: recall {bar} on its {images} images"
    if below > 1:
        reason += f"; {below} classes are below the floor"
    return _at_least("min_recall", recall, floor, reason)


def ranking_verdicts(gate: Gate, ranked: Mapping[str, Any] | None) -> list[Verdict]:
    """Floors on the areas under the curves of two classes.

    Raises:
        GateError: one is asked for, and there is no such area.
    """
    verdicts = []
    asked = {"ROC": ("roc_auc", gate.min_roc_auc), "precision-recall": ("pr_auc", gate.min_pr_auc)}
    for curve, (key, floor) in asked.items():
        area = (ranked or {}).get(key)
        if floor is not None and area is None:
            raise GateError(
                f"gate.min_{key} is {floor}, and there is no such area: it takes a model of two"
                f" classes, and test images of both. Set gate.min_{key}: null."
            )
        if ranked and area is not None:
            reason = f"area under the {curve} curve of {ranked['positive']} {area:.3f}"
            verdicts += _at_least(f"min_{key}", area, floor, reason)
    return verdicts


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
    found = _scored_difference(champion, common, params, root)
    on = f"{found.images} images"
    if found.images < len(rows):
        on += f" of {len(rows)} (the classes that both have)"
    reason = (
        f"candidate {short(candidate.digest)} minus champion {short(champion.digest)}:"
        f" {found.observed:+.4f} in accuracy on {on}, {found.won} gained and"
        f" {found.lost} lost; with 95 % confidence at least {found.lower:+.4f}"
    )
    return replace(refused, passed=found.within(margin), observed=found.lower, reason=reason)


def _scored_difference(
    champion: Champion, files: pd.DataFrame, params: GateParams, root: Path
) -> Difference:
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
