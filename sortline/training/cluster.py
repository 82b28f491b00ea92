"""Which of several training workers this process is, as TF_CONFIG says. The standard library alone.

TF_CONFIG is TensorFlow's own variable: {"cluster": {"worker": ["host:port", ...]}, "task": {"type":
"worker", "index": 0}}. On a cluster it is made from SORTLINE_WORKERS (host:port with commas
between) and JOB_COMPLETION_INDEX, which an indexed Job of Kubernetes gives each of its pods.
"""

import json
from collections.abc import MutableMapping

from sortline.core.errors import ParamsError

_CONFIG, _WORKERS, _INDEX = "TF_CONFIG", "SORTLINE_WORKERS", "JOB_COMPLETION_INDEX"


def complete(variables: MutableMapping[str, str]) -> None:
    """Set TF_CONFIG where a cluster gave the workers' names and a pod's index.

    Raises:
        ParamsError: the index is not one of the list.
    """
    named = variables.get(_WORKERS)
    if not named or variables.get(_CONFIG):
        return
    workers = [worker.strip() for worker in named.split(",")]
    index = variables.get(_INDEX, "")
    if not index.isdecimal() or int(index) >= len(workers):
        raise ParamsError(
            f"{_INDEX} is {index!r}, and {_WORKERS} names {len(workers)} workers. It must be a"
            f" number from 0 to {len(workers) - 1}: start as many pods as are named."
        )
    task = {"type": "worker", "index": int(index)}
    variables[_CONFIG] = json.dumps({"cluster": {"worker": workers}, "task": task})


def _said(text: str) -> tuple[int, int] | None:
    try:
        config = json.loads(text)
        task, cluster = config["task"], config["cluster"]
        index, workers = int(task["index"]), len(cluster["worker"])
        valid = task["type"] == "worker" and set(cluster) == {"worker"} and 0 <= index < workers
    except (ValueError, KeyError, TypeError):
        return None
    return (index, workers) if valid else None


def task_of(variables: MutableMapping[str, str]) -> tuple[int, int]:
    """Index of this worker, and the number of workers.

    Raises:
        ParamsError: the variables do not say which worker this is.
    """
    complete(variables)
    if task := _said(variables.get(_CONFIG, "")):
        return task
    raise ParamsError(
        f"distribution.strategy is workers, and {_CONFIG} is {variables.get(_CONFIG, '')!r}. It"
        ' must name the workers and which one this is: {"cluster": {"worker": ["host:port", ...]},'
        ' "task": {"type": "worker", "index": 0}}. To train on this machine alone set'
        " distribution.strategy to single or mirrored."
    )


def follower_of(variables: MutableMapping[str, str]) -> int | None:
    """Index of this worker where another one is the chief; None for the chief, and alone.

    Raises:
        ParamsError: see `complete`.
    """
    complete(variables)
    index, _ = _said(variables.get(_CONFIG, "")) or (0, 1)
    return index or None
