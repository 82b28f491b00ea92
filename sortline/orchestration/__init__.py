"""Retraining as a run of tasks, one command a task: what Airflow, a pod or a person starts.

A run is known by its id. `plan` decides once what is trained; every other command reads the plan
from the run store, works in a throw-away clone, and leaves a done-manifest that the next one
checks. settings.py, tasks.py, local_runner.py and airflow_tasks.py import little: DAG files use
them.
"""
