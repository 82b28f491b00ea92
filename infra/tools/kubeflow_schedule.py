"""Has Kubeflow run a compiled pipeline by the clock (what is asked is JSON on stdin).

Runs where kfp is: in an environment of its own that has none of this project's packages, so it
imports kfp and the standard library alone. `sortline kubeflow schedule` calls it; the last line
that it prints is the recurring run's id.
"""

import json
import sys
from typing import Any

import kfp

_PAGE = 100


def _older(client: Any, name: str, namespace: str) -> list[str]:
    found, token = [], ""
    while True:
        page = client.list_recurring_runs(token, _PAGE, namespace=namespace)
        runs = page.recurring_runs or []
        found += [each.recurring_run_id for each in runs if each.display_name == name]
        token = page.next_page_token or ""
        if not token:
            return found


def schedule(asked: dict[str, Any]) -> str:
    """Make the recurring run, then remove those of its name that were there before; its id."""
    client = kfp.Client(host=asked["host"], namespace=asked["namespace"])
    older = _older(client, asked["name"], asked["namespace"])
    experiment = client.create_experiment(asked["name"], namespace=asked["namespace"])
    made = client.create_recurring_run(
        experiment_id=experiment.experiment_id,
        job_name=asked["name"],
        cron_expression=asked["cron"],
        max_concurrency=1,
        no_catchup=True,
        params=asked["parameters"],
        pipeline_package_path=asked["package"],
        service_account=asked["account"],
    )
    for each in older:
        client.delete_recurring_run(each)
    return str(made.recurring_run_id)


def main() -> None:
    """Read, schedule, print."""
    print(schedule(json.load(sys.stdin)))


if __name__ == "__main__":
    main()
