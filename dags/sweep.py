"""# sweep

Runs the graph once for each variant, a recipe or a set of changes to params.yaml, and compares
them: by hand only. Nothing is published. What variants share is computed once: DVC's run cache
and the features are common to all.

**Inputs:** as `waste_retraining`; the parameters `recipes` and `changes`. **Outputs:** a table in
the log of `compare`, and a plan and done-manifests of every variant in the run store.

**What to do when it fails**

1. A variant whose `resolve` failed names a recipe or a setting that does not exist.
2. Any other task of a variant: as in `waste_retraining`; clear it. The other variants go on.
3. `compare` says which variants did not come to an end.
"""

import json
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, TriggerRule, task, task_group

from sortline.core.graph import edges, read_graph
from sortline.orchestration.airflow_tasks import (
    POOLS,
    RETRIES,
    RUN_ID,
    Command,
    add,
    stage_command,
)
from sortline.orchestration.settings import project_root

PARAMS = {
    "recipes": Param(
        ["demo"],
        type="array",
        items={"type": "string"},
        description="Names in recipes/, one variant each. An empty name: params.yaml as it is.",
    ),
    "changes": Param(
        [],
        type="array",
        items={"type": "object"},
        description='Laid over params.yaml, one variant each: {"train_phase1": {"epochs": 30}}.',
    ),
}
VARIANTS_DOC = (
    "Lists the variants. *When it fails:* the parameters of the run are not lists; start another."
)
RESOLVE_DOC = "Decides what a variant trains. *When it fails:* its recipe or a setting is unknown."
COMPARE = Command(
    "compare",
    ("retraining", "compare", "--run-id", RUN_ID),
    "Prints the variants, the most accurate first. *When it fails:* no variant had a plan; look at"
    " `resolve`.",
    trigger_rule=TriggerRule.ALL_DONE,
)


@task(
    doc_md=VARIANTS_DOC,
    pool=POOLS["cpu"],
    retries=RETRIES,
    execution_timeout=timedelta(minutes=5),
)
def variants(
    params: dict[str, Any] | None = None, run_id: str | None = None
) -> list[dict[str, str]]:
    """One entry a variant: the arguments of the mapped group. Airflow gives what is None here."""
    given = params or {}
    asked = [(name, {}) for name in given["recipes"]] + [("", each) for each in given["changes"]]
    return [
        {"variant": f"{run_id}-variant-{number}", "recipe": recipe, "changes": json.dumps(changes)}
        for number, (recipe, changes) in enumerate(asked, start=1)
    ]


@task_group
def graph_of(variant: str, recipe: str, changes: str) -> None:
    """The graph of dvc.yaml for one variant."""
    asked = ("--recipe", recipe, "--changes", changes, "--dry-run", "true", "--trigger", "sweep")
    plan = ("retraining", "plan", "--run-id", variant, *asked)
    resolve = add(Command("resolve", plan, RESOLVE_DOC))
    stages = {name: add(stage_command(stage, variant)) for name, stage in graph.items()}
    for above, below in sorted(edges(graph)):
        stages[above] >> stages[below]
    for name, stage in graph.items():
        if not stage.upstream:
            resolve >> stages[name]


with DAG(
    dag_id="sweep",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=72),
    params=PARAMS,
    tags=["sortline"],
) as dag:
    graph = read_graph(project_root(__file__))
    graph_of.expand_kwargs(variants()) >> add(COMPARE)
