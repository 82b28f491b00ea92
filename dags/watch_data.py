"""# watch_data

Looks every ten minutes for a dataset that no run has seen: what `sortline data-updated` announced
beside the DVC remote, or another data.dvc at the head of the git repository. When there is one, the
dataset's asset is updated, and `waste_retraining` runs.

**Inputs:** the git repository, the run store.
**Outputs:** an event of the asset `sortline_dataset`.

**What to do when it fails**

1. `look` cannot reach git or the run store: check the network and the credentials. It looks again
   in ten minutes by itself.
2. `remember` failed: the same data is announced once more, and that run ends as *nothing new*.
3. New data is not found: `sortline data-updated` says what it announced, and where.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from sortline.orchestration.airflow_tasks import DATASET, RUN_ID, Command, add

LOOK = Command(
    "look",
    ("retraining", "look", "--run-id", RUN_ID),
    "Compares the newest dataset with the last one seen. **Skipped** when there is nothing new."
    " *When it fails:* git or the run store cannot be reached; it looks again in ten minutes.",
    timeout_s=300,
    outlets=(DATASET,),
)
REMEMBER = Command(
    "remember",
    ("retraining", "remember", "--run-id", RUN_ID),
    "Notes the dataset as seen. *When it fails:* it is announced once more, which does no harm.",
    timeout_s=300,
)

with DAG(
    dag_id="watch_data",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("*/10 * * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=30),
    tags=["sortline"],
) as dag:
    add(LOOK) >> add(REMEMBER)
