"""A gate of your own: no class may be much worse than all of them together.

To use it, copy this file into plugins/gates/ and set `gate.max_recall_gap` in params.yaml, such as
to 0.15. `dvc repro` then judges the model anew, and does nothing else again.
"""

from sortline.core.params import Share
from sortline.evaluation.gates import Candidate, Verdict, at_most, gate


@gate("max_recall_gap", setting=Share)
def max_recall_gap(cap: float, candidate: Candidate) -> Verdict:
    """The cap on accuracy minus the recall of the worst class."""
    recalls = {label: each["recall"] for label, each in candidate.metrics["per_class"].items()}
    worst = min(recalls, key=lambda label: (recalls[label], label))
    gap = candidate.metrics["accuracy"] - recalls[worst]
    return at_most("max_recall_gap", gap, cap, f"{worst}: recall {recalls[worst]:.3f}")
