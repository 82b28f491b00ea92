"""Gates on how often the model is right, over all and of every class."""

from typing import Any

from sortline.core.params import Share
from sortline.evaluation.gates import (
    Candidate,
    Verdict,
    at_least,
    at_most,
    gate,
    with_interval,
)


def _on(figures: dict[str, Any]) -> str:
    return f"on {figures['images']} test images"


@gate("min_accuracy", setting=Share)
def min_accuracy(floor: float, candidate: Candidate) -> Verdict:
    """The floor under the accuracy."""
    figures = candidate.metrics
    bar = with_interval(figures["accuracy"], figures["intervals"]["accuracy"])
    return at_least("min_accuracy", figures["accuracy"], floor, f"accuracy {bar} {_on(figures)}")


@gate("min_macro_f1", setting=Share)
def min_macro_f1(floor: float, candidate: Candidate) -> Verdict:
    """The floor under the mean of the classes' F1."""
    figures = candidate.metrics
    bar = with_interval(figures["macro_f1"], figures["intervals"]["macro_f1"])
    return at_least("min_macro_f1", figures["macro_f1"], floor, f"macro-F1 {bar} {_on(figures)}")


@gate("min_recall", setting=Share)
def min_recall(floor: float, candidate: Candidate) -> Verdict:
    """The floor under every class's recall; the reason names the worst class."""
    # NumPy with it, which a check of the settings does without.
    from sortline.evaluation.metrics import wilson

    per_class = candidate.metrics["per_class"]
    worst = min(per_class, key=lambda label: (per_class[label]["recall"], label))
    recall, images = per_class[worst]["recall"], per_class[worst]["support"]
    bar = with_interval(recall, wilson(round(recall * images), images))
    below = sum(1 for figures in per_class.values() if figures["recall"] < floor)
    reason = f"worst class {worst}: recall {bar} on its {images} images"
    if below > 1:
        reason += f"; {below} classes are below the floor"
    return at_least("min_recall", recall, floor, reason)


@gate("max_ece", setting=Share)
def max_ece(cap: float, candidate: Candidate) -> Verdict:
    """The cap on the expected calibration error."""
    figures = candidate.metrics
    reason = f"calibration error {figures['ece']:.3f} in 15 bins {_on(figures)}"
    return at_most("max_ece", figures["ece"], cap, reason)


@gate("max_train_test_gap", setting=Share)
def max_train_test_gap(cap: float, candidate: Candidate) -> Verdict:
    """The cap on accuracy that is learnt by heart: train minus test."""
    figures = candidate.metrics
    gap, accuracy = figures["gaps"]["train_test"], figures["accuracy"]
    bar = with_interval(accuracy, figures["intervals"]["accuracy"])
    reason = f"accuracy {gap + accuracy:.3f} on train minus {bar} on test"
    return at_most("max_train_test_gap", gap, cap, reason)
