"""# watch_drift

Compares, every day at 05:00 UTC, what the stable version answered lately with what it had answered
on its test split. A drift is told to people, and the drift's asset is updated: `waste_retraining`
runs then, and trains only when there is data that no run has seen.

**Inputs:** the prediction log (`SORTLINE_PREDICTION_LOG`), the store of releases, the git
repository, the DVC remote. **Outputs:** an event of the asset `sortline_drift`; a message.

**What to do when it fails**

1. `look_for_drift` names what cannot be read: the log, the store, or the evaluation of the version
   that is stable. Repair that, then clear the task.
2. `alert` failed: `SORTLINE_NOTIFY_URL` does not answer. What it would have said is in its log.

**What to do when it alerts:** look at the log's newest images. If the world has changed, label
some, bring them in by `sortline ingest --add`, and `sortline data-updated`. If a camera is broken,
no retraining helps.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param

from sortline.orchestration.airflow_tasks import DRIFT, RUN_ID, Command, add

PARAMS = {
    "days": Param(
        7, type="integer", minimum=1, description="How far back answers are looked at, in days."
    ),
}
LOOK = Command(
    "look_for_drift",
    ("retraining", "look-for-drift", "--run-id", RUN_ID, "--days", "{{ params.days }}"),
    "Compares the answers of the last days with those on the test split. **Skipped** when they are"
    " alike, when there are too few, or when nothing is served or logged. *When it fails:* the log"
    " says what cannot be read.",
    duty="publisher",  # It reads the store of releases, which no stage may.
    outlets=(DRIFT,),
)
ALERT = Command(
    "alert",
    ("retraining", "alert", "--run-id", RUN_ID),
    "Tells people that the predictions drifted. *When it fails:* SORTLINE_NOTIFY_URL does not"
    " answer; the log has the message.",
    timeout_s=300,
)

with DAG(
    dag_id="watch_drift",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 5 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    params=PARAMS,
    tags=["sortline"],
) as dag:
    add(LOOK) >> add(ALERT)
