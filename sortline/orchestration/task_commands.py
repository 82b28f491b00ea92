"""Arguments of `sortline` for each kind of task: what Airflow, its pods and Kubeflow call alike.

Imports nothing: DAG files are parsed every few seconds. A list of arguments is never a line for a
shell, so a value cannot become anything but the value of its option.
"""


def plan_arguments(run_id: str, trigger: str, **given: str) -> tuple[str, ...]:
    """Decide what a run trains.

    Args:
        run_id: the run's, or what a scheduler puts it in place of.
        trigger: why it runs.
        given: options of `sortline retraining plan`, with underscores.
    """
    options = ((f"--{name.replace('_', '-')}", value) for name, value in given.items())
    told = ("--run-id", run_id, "--trigger", trigger)
    return ("retraining", "plan", *told, *(word for option in options for word in option))


def stage_arguments(name: str, run_id: str) -> tuple[str, ...]:
    """Do a stage of dvc.yaml."""
    return ("retraining", "stage", name, "--run-id", run_id)


def record_arguments(run_id: str) -> tuple[str, ...]:
    """Write how a run ended."""
    return ("retraining", "record", "--run-id", run_id)
