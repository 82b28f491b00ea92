"""Step 7: say whether the exported model may be served, and why.

Reads: artifacts/saved_model, reports/evaluation/{metrics.json,latency.json,predictions.parquet},
champion/, and the raw files of the test split when there is a champion to score.
Writes: reports/blessing.json and reports/blessing.md. A refusal is a result: the step succeeds.
Refuses: an empty list of gates, figures that are of another model than the exported one, a champion
that cannot be read.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd
from rich.console import Console

from sortline.core.entry import step_main
from sortline.core.errors import GateError
from sortline.core.files import read_json, require, write_json, write_text
from sortline.core.paths import Paths
from sortline.evaluation.blessing import Blessing, Verdict, markdown, short, table
from sortline.evaluation.bootstrap import wilson
from sortline.evaluation.champion import Champion, read_champion
from sortline.evaluation.settings import Gate, GateParams
from sortline.evaluation.versus_champion import Scored, compare
from sortline.model.contract import model_digest

_MADE_BY = "dvc repro evaluate"
_MB = 1_000_000


class Params(GateParams):
    """The sections of params.yaml that this step reads: seed, images, evaluate and gate."""


@dataclass(frozen=True)
class Candidate:
    """What is known of the exported model: metrics.json, latency.json, its digest and size."""

    digest: str
    size_mb: float
    metrics: dict[str, Any]
    latency: dict[str, Any]


def with_interval(value: float, interval: tuple[float, float] | list[float]) -> str:
    """A share and its error bar, e.g. `0.927 (95 %: 0.915 to 0.938)`."""
    low, high = interval
    return f"{value:.3f} (95 %: {low:.3f} to {high:.3f})"


def _at_least(gate: str, observed: float, floor: float | None, reason: str) -> list[Verdict]:
    return [] if floor is None else [Verdict(gate, observed >= floor, observed, floor, reason)]


def _at_most(gate: str, observed: float, cap: float | None, reason: str) -> list[Verdict]:
    return [] if cap is None else [Verdict(gate, observed <= cap, observed, cap, reason)]


def quality_verdicts(gate: Gate, found: dict[str, Any]) -> list[Verdict]:
    """Floors on accuracy and macro-F1, and the cap on the calibration error."""
    bars = found["intervals"]
    accuracy, f1, ece = found["accuracy"], found["macro_f1"], found["ece"]
    on = f"on {found['images']} test images"
    return [
        *_at_least(
            "min_accuracy",
            accuracy,
            gate.min_accuracy,
            f"accuracy {with_interval(accuracy, bars['accuracy'])} {on}",
        ),
        *_at_least(
            "min_macro_f1",
            f1,
            gate.min_macro_f1,
            f"macro-F1 {with_interval(f1, bars['macro_f1'])} {on}",
        ),
        *ranking_verdicts(gate, found),
        *_at_most("max_ece", ece, gate.max_ece, f"calibration error {ece:.3f} in 15 bins {on}"),
    ]


def ranking_verdicts(gate: Gate, found: dict[str, Any]) -> list[Verdict]:
    """Floors on the areas under the curves of two classes.

    Raises:
        GateError: one is asked for, and there is no such area.
    """
    asked = {"min_roc_auc": gate.min_roc_auc, "min_pr_auc": gate.min_pr_auc}
    ranked = found.get("two_classes") or {}
    verdicts = []
    for name, floor in asked.items():
        area = ranked.get(name.removeprefix("min_"))
        if floor is not None and area is None:
            raise GateError(
                f"gate.{name} is {floor}, and there is no such area: it takes a model of two"
                f" classes, and test images of both. Set gate.{name}: null."
            )
        if area is not None:
            curve = "ROC" if name == "min_roc_auc" else "precision-recall"
            reason = f"area under the {curve} curve of {ranked['positive']} {area:.3f}"
            verdicts += _at_least(name, area, floor, reason)
    return verdicts


def recall_verdict(gate: Gate, per_class: dict[str, dict[str, Any]]) -> list[Verdict]:
    """The floor under every class's recall; the reason names the worst class."""
    worst = min(per_class, key=lambda label: (per_class[label]["recall"], label))
    recall, images = per_class[worst]["recall"], per_class[worst]["support"]
    bar = with_interval(recall, wilson(round(recall * images), images))
    floor = gate.min_recall
    below = sum(1 for seen in per_class.values() if floor and seen["recall"] < floor)
    reason = f"worst class {worst}: recall {bar} on its {images} images"
    if below > 1:
        reason += f"; {below} classes are below the floor"
    return _at_least("min_recall", recall, floor, reason)


def gap_verdict(gate: Gate, found: dict[str, Any]) -> list[Verdict]:
    """The cap on accuracy that is learnt by heart: train minus test."""
    gap = found["gaps"]["train_test"]
    train = gap + found["accuracy"]
    bar = with_interval(found["accuracy"], found["intervals"]["accuracy"])
    reason = f"accuracy {train:.3f} on train minus {bar} on test"
    return _at_most("max_train_test_gap", gap, gate.max_train_test_gap, reason)


def cost_verdicts(gate: Gate, candidate: Candidate) -> list[Verdict]:
    """The caps on latency, as a ratio to the reference model, and on size."""
    latency, size = candidate.latency, candidate.size_mb
    reason = (
        f"p50 {latency['p50_ms']:.1f} ms (p95 {latency['p95_ms']:.1f}) against"
        f" {latency['reference']['p50_ms']:.1f} ms of the reference, {latency['calls']} calls of"
        f" each in turns on {latency['machine']['cpu']}"
    )
    files = f"{size:.1f} MB of files in artifacts/saved_model"
    return [
        *_at_most("max_latency_ratio", latency["ratio"], gate.max_latency_ratio, reason),
        *_at_most("max_size_mb", size, gate.max_size_mb, files),
    ]


def own_verdicts(gate: Gate, candidate: Candidate) -> list[Verdict]:
    """Every verdict that needs no champion, in the order of params.yaml; null is not asked."""
    found = candidate.metrics
    asked = [
        *quality_verdicts(gate, found),
        *recall_verdict(gate, found["per_class"]),
        *gap_verdict(gate, found),
        *cost_verdicts(gate, candidate),
    ]
    order = list(Gate.model_fields)
    return sorted(asked, key=lambda verdict: order.index(verdict.gate))


def read_candidate(paths: Paths) -> Candidate:
    """Gather what is known of the exported model.

    Raises:
        GateError: the figures are of another model than the one that would be served.
    """
    folder = require(paths.saved_model, "dvc repro export")
    report = paths.reports / "evaluation"
    found = read_json(report / "metrics.json", _MADE_BY)
    digest, scored = model_digest(folder), found["model_digest"]
    if digest != scored:
        raise GateError(
            f"{report / 'metrics.json'} is of the model {short(scored)}; the one in {folder} is"
            f" {short(digest)}. Only what was scored may be gated: run `{_MADE_BY}`."
        )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    latency = read_json(report / "latency.json", _MADE_BY)
    return Candidate(digest, round(size / _MB, 3), found, latency)


def _against(
    champion: Champion, candidate: Candidate, params: Params, paths: Paths
) -> list[Verdict]:
    predictions = paths.reports / "evaluation" / "predictions.parquet"
    rows = pd.read_parquet(require(predictions, _MADE_BY))
    scored = Scored(paths.saved_model, candidate.digest, rows)
    return compare(scored, champion, params, paths.root)


def decide(params: Params, paths: Paths) -> Blessing:
    """All verdicts on the exported model.

    Raises:
        GateError: nothing is asked of it; see also `read_candidate` and `read_champion`.
    """
    champion, candidate = read_champion(paths.champion), read_candidate(paths)
    verdicts = own_verdicts(params.gate, candidate)
    if champion is not None:
        verdicts += _against(champion, candidate, params, paths)
    if not verdicts:
        raise GateError(
            "There is an empty list of gates: every gate in params.yaml is null, and there is no"
            " champion to beat. Set at least one, or name a champion: `sortline champion use URI`."
        )
    return Blessing(candidate.digest, champion.digest if champion else None, tuple(verdicts))


def run(params: Params, paths: Paths) -> Blessing:
    """Run the step."""
    blessing = decide(params, paths)
    write_text(paths.reports / "blessing.md", markdown(blessing))
    write_json(paths.reports / "blessing.json", blessing.to_json())
    Console().print(table(blessing))
    return blessing


def main() -> None:
    """Run the step in the current folder."""
    step_main("gate", Params, run)


if __name__ == "__main__":
    main()
