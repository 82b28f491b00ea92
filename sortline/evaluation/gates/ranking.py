"""Gates on the areas under the curves of a model of two classes."""

from sortline.core.errors import GateError
from sortline.core.params import Share
from sortline.evaluation.gates import Candidate, Verdict, at_least, gate


def _area(name: str, curve: str, floor: float, candidate: Candidate) -> Verdict:
    ranked = candidate.metrics.get("two_classes") or {}
    area = ranked.get(name.removeprefix("min_"))
    if area is None:
        raise GateError(
            f"gate.{name} is {floor}, and there is no such area: it takes a model of two"
            f" classes, and test images of both. Set gate.{name}: null."
        )
    reason = f"area under the {curve} curve of {ranked['positive']} {area:.3f}"
    return at_least(name, area, floor, reason)


@gate("min_roc_auc", setting=Share)
def min_roc_auc(floor: float, candidate: Candidate) -> Verdict:
    """The floor under the area under the ROC curve.

    Raises:
        GateError: there is no such area.
    """
    return _area("min_roc_auc", "ROC", floor, candidate)


@gate("min_pr_auc", setting=Share)
def min_pr_auc(floor: float, candidate: Candidate) -> Verdict:
    """The floor under the area under the precision-recall curve.

    Raises:
        GateError: there is no such area.
    """
    return _area("min_pr_auc", "precision-recall", floor, candidate)
