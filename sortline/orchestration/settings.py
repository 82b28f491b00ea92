"""What a task of a run works with, from the environment (`sortline settings` lists all of it)."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from sortline.core.settings import read_settings, required

SKIPPED = 99
"""Exit status of a command that found nothing to do: its task, and what follows, is skipped."""
TEMPORARY = 75
"""Exit status of a command that may work when run again (sysexits' EX_TEMPFAIL)."""


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
        notify_url: is told of every ending, or None (SORTLINE_NOTIFY_URL).
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


def task_settings() -> Settings:
    """What the environment says a task works with.

    Raises:
        ParamsError: the repository or the DVC remote is not named.
    """
    remote = required("dvc_remote", "s3://bucket/dvc").rstrip("/")
    settings = read_settings()
    return Settings(
        repository=required("repository", "https://git.example/waste.git"),
        dvc_remote=remote,
        # DVC's own objects are below files/ and runs/: it never looks at, or removes, this.
        run_store=settings.run_store or f"{remote}/sortline",
        dvc_cache=settings.dvc_cache and settings.dvc_cache.absolute(),
        state=settings.state_dir and settings.state_dir.absolute(),
        work=(settings.work_dir or Path(tempfile.gettempdir()) / "sortline").absolute(),
        features=settings.features,
        releases=settings.releases,
        endpoints=settings.endpoints,
        notify_url=settings.notify_url.get_secret_value() if settings.notify_url else None,
        prediction_log=settings.prediction_log,
    )


def project_root(dag_file: str) -> Path:
    """The repository that a DAG file is part of: dvc.yaml and recipes/ lie there."""
    return Path(dag_file).resolve().parents[1]
