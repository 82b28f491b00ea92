"""A sweep's runs side by side: which recipe is best, and whether the gates let it through."""

from dataclasses import dataclass
from typing import Any

from sortline.core.errors import ArtifactError
from sortline.orchestration.actions import BLESSING
from sortline.orchestration.done_manifest import find_done
from sortline.orchestration.plan import Plan, read_plan
from sortline.orchestration.records import METRICS
from sortline.orchestration.run_store import RunStore, safe_name
from sortline.reporting.pages import markdown_table


@dataclass(frozen=True)
class Row:
    """One variant; None where it did not come so far."""

    run_id: str
    recipe: str
    accuracy: float | None
    macro_f1: float | None
    blessed: bool | None


def _row(store: RunStore, plan: Plan) -> Row:
    evaluated, gated = (find_done(store, plan, name) for name in ("evaluate", "gate"))
    metrics: dict[str, Any] = evaluated.metrics[METRICS] if evaluated else {}
    blessed = gated.metrics[BLESSING]["blessed"] if gated else None
    accuracy, macro_f1 = metrics.get("accuracy"), metrics.get("macro_f1")
    return Row(plan.run_id, plan.recipe or "params.yaml", accuracy, macro_f1, blessed)


def compare(run_id: str, store: RunStore) -> list[Row]:
    """The variants of a sweep, the most accurate first.

    Raises:
        ArtifactError: it has none.
    """
    prefix = f"runs/{safe_name(run_id)}-variant-"
    names = [n for n in store.names("runs") if n.startswith(prefix) and n.endswith("/plan.json")]
    if not names:
        raise ArtifactError(f"The sweep {run_id} has no variant with a plan: look at its tasks.")
    plans = [read_plan(store, store.read(name)["run_id"]) for name in names]
    rows = [_row(store, plan) for plan in plans]
    return sorted(rows, key=lambda row: row.accuracy or 0.0, reverse=True)


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    words = {True: "passed", False: "refused", None: "-"}
    cells = [
        (
            row.run_id,
            row.recipe,
            *("-" if n is None else f"{n:.4f}" for n in (row.accuracy, row.macro_f1)),
            words[row.blessed],
        )
        for row in rows
    ]
    return markdown_table(("variant", "recipe", "accuracy", "macro-F1", "gates"), cells)
