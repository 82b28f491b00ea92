"""Where a run's repository, storage and servers are: environment variables, read in one place.

Imports the standard library alone: DAG files read it, without a database or a connection.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sortline.core.errors import ParamsError

LOCAL, KUBERNETES = "local", "kubernetes"
SKIPPED = 99
"""Exit status of a command that found nothing to do: its task, and what follows, is skipped."""
TEMPORARY = 75
"""Exit status of a command that may work when run again (sysexits' EX_TEMPFAIL)."""
FORWARDED = (
    "SORTLINE_REPOSITORY",
    "SORTLINE_DVC_REMOTE",
    "SORTLINE_RUN_STORE",
    "SORTLINE_FEATURES",
    "SORTLINE_RELEASES",
    "SORTLINE_ENDPOINTS",
    "SORTLINE_PREDICTION_LOG",
    "SORTLINE_NOTIFY_URL",
    "AWS_ENDPOINT_URL",
    "AWS_DEFAULT_REGION",
)
"""What a pod gets from its scheduler's environment; credentials come from its service account."""


@dataclass(frozen=True)
class Settings:
    """What a command needs to know of the world.

    Attributes:
        repository: address of the central git repository (SORTLINE_REPOSITORY).
        dvc_remote: a folder or s3:// address that every task can reach (SORTLINE_DVC_REMOTE).
        run_store: of plans, done-manifests and records (SORTLINE_RUN_STORE); beside the remote's
            objects when it is not set.
        dvc_cache: shared by tasks on one machine, or None (SORTLINE_DVC_CACHE).
        state: of features and training, which retries of a task share (SORTLINE_STATE_DIR), or
            None: each clone has its own, and a killed training starts again.
        work: where clones lie (SORTLINE_WORK_DIR).
        features: address through which machines exchange features, or None (SORTLINE_FEATURES).
        releases: the store that `publish` fills, or None: nothing is published (SORTLINE_RELEASES).
        endpoints: of model servers, comma-separated; None: they poll the model config file
            (SORTLINE_ENDPOINTS).
        notify_url: gets a POST with {"text": ...} at every ending, or None (SORTLINE_NOTIFY_URL).
        prediction_log: of what is served, or None: no drift is looked for
            (SORTLINE_PREDICTION_LOG).
    """

    repository: str
    dvc_remote: str
    run_store: str
    dvc_cache: Path | None
    state: Path | None
    work: Path
    features: str | None
    releases: str | None
    endpoints: str | None
    notify_url: str | None
    prediction_log: str | None = None


def _required(variables: Mapping[str, str], name: str, example: str) -> str:
    if value := variables.get(name):
        return value
    raise ParamsError(f"{name} is not set. Set it, for example to {example}.")


def _folder(variables: Mapping[str, str], name: str) -> Path | None:
    value = variables.get(name)
    return Path(value).absolute() if value else None


def read_settings(variables: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the environment gives.

    Raises:
        ParamsError: the repository or the DVC remote is not named.
    """
    remote = _required(variables, "SORTLINE_DVC_REMOTE", "s3://bucket/dvc").rstrip("/")
    return Settings(
        repository=_required(variables, "SORTLINE_REPOSITORY", "https://git.example/waste.git"),
        dvc_remote=remote,
        # DVC's own objects are below files/ and runs/: it never looks at, or removes, this.
        run_store=variables.get("SORTLINE_RUN_STORE") or f"{remote}/sortline",
        dvc_cache=_folder(variables, "SORTLINE_DVC_CACHE"),
        state=_folder(variables, "SORTLINE_STATE_DIR"),
        work=_folder(variables, "SORTLINE_WORK_DIR") or Path(tempfile.gettempdir()) / "sortline",
        features=variables.get("SORTLINE_FEATURES") or None,
        releases=variables.get("SORTLINE_RELEASES") or None,
        endpoints=variables.get("SORTLINE_ENDPOINTS") or None,
        notify_url=variables.get("SORTLINE_NOTIFY_URL") or None,
        prediction_log=variables.get("SORTLINE_PREDICTION_LOG") or None,
    )


def execution_mode(variables: Mapping[str, str] = os.environ) -> str:
    """Where tasks work, SORTLINE_EXECUTION: "local" (the default) or "kubernetes".

    Raises:
        ParamsError: it is something else.
    """
    mode = variables.get("SORTLINE_EXECUTION") or LOCAL
    if mode not in (LOCAL, KUBERNETES):
        raise ParamsError(f"SORTLINE_EXECUTION is {mode!r}. Set it to {LOCAL} or {KUBERNETES}.")
    return mode


def project_root(dag_file: str) -> Path:
    """The repository that a DAG file is part of: dvc.yaml and recipes/ lie there."""
    return Path(dag_file).resolve().parents[1]
