"""# waste_retraining

Retrains the classifier, gates it, and hands it to the servers: the graph of `dvc.yaml`, and what
frames it. It runs every Monday at 03:00 UTC, when the dataset's asset is updated, when the drift
asset alerts, or by hand ("Trigger", with the fields explained).

**Inputs:** the git repository, the DVC remote, the run store beside it.
**Outputs:** a version in the store of releases; a branch `runs/<run>` with settings and dvc.lock; a
record in the run store; one notification.

**Endings.** *released*, or *blessed* in a dry run: the model passed. *refused*: the gates said no,
the tasks below `blessing` are skipped, the run is green, and nothing has to be done tonight.
*nothing new*: the same data, settings and code have been trained before; everything is skipped.
*failed*: `record` is red, and says which task, and why.

**What to do when it fails**

1. Open the log of `record`: it names the first task that did not do its work, and what it said.
2. Exit status 2: somebody has to change something; the message says what. Then clear the task.
3. Exit status 75, a signal, or no message: the machine or the network was lost, three times over.
   Clear the task; training goes on from its last epoch.
4. `left no done-manifest`: a task claims a success that it did not have. Clear the one named.
5. What is served is never touched by a failed run. To go back a version: `sortline rollback`.
"""

from datetime import timedelta

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable, Label, Param, TriggerRule

from sortline.core.graph import edges, read_graph
from sortline.core.settings import read_settings
from sortline.orchestration.airflow_tasks import (
    DATASET,
    DRIFT,
    RUN_ID,
    Command,
    add,
    add_mapped,
    stage_command,
)
from sortline.orchestration.settings import project_root
from sortline.orchestration.tasks import plan_arguments, record_arguments

ROOT = project_root(__file__)
PARTS = read_settings().extraction_parts
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
TRIGGER = (
    "{{ dag_run.run_type + '' }}"  # An enumeration's value, where str() gives its name.
    "{% for asset in triggering_asset_events or {} %} {{ asset.name }}{% endfor %}"
)
PARAMS = {
    "recipe": Param(
        read_settings().recipe,
        type="string",
        examples=["", *RECIPES],
        description="A file of recipes/, laid over params.yaml. Empty: params.yaml as it is.",
    ),
    "git_revision": Param(
        "", type="string", description="A branch, a tag or a commit. Empty: the repository's HEAD."
    ),
    "data_revision": Param(
        "",
        type="string",
        description="A git revision whose data.dvc is used, or its MD5. Empty: the newest.",
    ),
    "champion": Param(
        "",
        type="string",
        description="The model to beat: an address, or none. Empty: the repository's champion/.",
    ),
    "dry_run": Param(False, type="boolean", description="Train and gate, but publish nothing."),
}

RESOLVE = Command(
    "resolve_revision",
    plan_arguments(
        RUN_ID,
        TRIGGER,
        recipe="{{ params.recipe }}",
        revision="{{ params.git_revision }}",
        data_revision="{{ params.data_revision }}",
        champion="{{ params.champion }}",
        dry_run="{{ params.dry_run }}",
    ),
    "Decides what is trained: commit, data, settings, champion. **Skipped** when that was trained"
    " before. *When it fails:* a revision or a recipe that does not exist is named in the log, with"
    " those there are; trigger again with a right one.",
)
BLESSING = Command(
    "blessing",
    ("retraining", "blessing", "--run-id", RUN_ID),
    "Shows the verdicts of the gates. **Skipped** when they refused: a clean ending, nothing is"
    " published. *When it fails:* the stage `gate` left nothing; clear it.",
)
INFRA_VALIDATE = Command(
    "infra_validate",
    ("retraining", "act", "infra_validate", "--run-id", RUN_ID),
    "Starts a server on the exported model and asks it about the test split. *When it fails:* the"
    " model cannot be served as it was scored; the log says how the answers differ.",
)
PUBLISH = Command(
    "publish",
    ("retraining", "act", "publish", "--run-id", RUN_ID),
    "Copies the validated bytes into the store of releases. **Skipped** in a dry run, or without a"
    " store. *When it fails:* no version was made; repair the store, then clear this task.",
    duty="publisher",
)
PROMOTE = Command(
    "promote",
    ("retraining", "act", "promote", "--run-id", RUN_ID),
    "Makes the servers load the version, probes it, and moves the labels. *When it fails:* `stable`"
    " is where it was; look after the replica that is named, then clear this task.",
    duty="publisher",
)
RECORD = Command(
    "record",
    record_arguments(RUN_ID),
    "Writes how the run ended, from what its tasks left; pushes the branch of the run. **Red when"
    " the run failed**. *When it fails:* its log says which task did not do its work, and why.",
    trigger_rule=TriggerRule.ALL_DONE,
)
NOTIFY = Command(
    "notify",
    ("retraining", "notify", "--run-id", RUN_ID),
    "Says how the run ended. *When it fails:* SORTLINE_NOTIFY_URL does not answer; the run itself"
    " is not affected.",
    trigger_rule=TriggerRule.ALL_DONE,
)
FEATURES = Command(
    "features",
    (),
    "Computes a part of the features; training computes what is missing. *When it fails:* as"
    " any stage.",
    resources="gpu",
    timeout_s=14400,
)

with DAG(
    dag_id="waste_retraining",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("0 3 * * 1", timezone="UTC"), assets=DATASET | DRIFT
    ),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=24),
    params=PARAMS,
    tags=["sortline"],
) as dag:
    graph = read_graph(ROOT)
    stages = {name: add(stage_command(stage)) for name, stage in graph.items()}
    resolve, blessing, record = add(RESOLVE), add(BLESSING), add(RECORD)
    validated, published, promoted = add(INFRA_VALIDATE), add(PUBLISH), add(PROMOTE)
    notified = add(NOTIFY)

    for above, below in sorted(edges(graph)):
        stages[above] >> stages[below]
    for name, stage in graph.items():
        if not stage.upstream:
            resolve >> Label("not trained before") >> stages[name]
    if PARTS:
        calls = [
            ("retraining", "features", f"{part}/{PARTS}", "--run-id", RUN_ID)
            for part in range(1, PARTS + 1)
        ]
        (
            [stages["augment"], stages["warm_start"]]
            >> add_mapped(FEATURES, calls)
            >> stages["train_phase1"]
        )
    stages["gate"] >> blessing >> Label("blessed") >> validated
    validated >> published >> promoted >> record >> notified
    # The run's state is the record's; the notification is told of either.
    notified.as_teardown()
