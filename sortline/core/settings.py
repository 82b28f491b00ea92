"""Every `SORTLINE_*` variable; `sortline settings` prints them as a table.

They say where things lie outside the repository, how tasks are run, and who is told. None of them
changes a result: what steps read through this file belongs to no step's code (core/closure.py).
"""

import json
import re
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, Json, NonNegativeInt, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from sortline.core.errors import ParamsError

PREFIX: Final = "SORTLINE_"


class Settings(BaseSettings):
    """What the environment says; an empty variable is one that is not set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        validate_default=False,
        extra="ignore",
        frozen=True,
    )

    # On every machine.
    weights_dir: Path | None = Field(
        default=None,
        description="The folder in which published weights (imagenet) are looked for first.",
    )
    state_dir: Path | None = Field(
        default=None,
        description="The folder of features and training state. Default: .sortline/ beside"
        " params.yaml; on a scheduler, one for each task.",
    )
    cache_gb: float = Field(
        default=20.0, gt=0, description="How many gigabytes the feature cache may take, above 0."
    )
    model_server: Literal["tensorflow_model_server", "docker", "stand-in"] | None = Field(
        default=None,
        description="Which model server is started on this machine: tensorflow_model_server,"
        " docker or stand-in. Default: the first of them that can be had.",
    )
    workers: str | None = Field(
        default=None,
        description="Training on several machines: host:port of every worker, with commas between.",
    )

    # Of a run that a scheduler starts.
    repository: str | None = Field(
        default=None,
        description="The address of the central git repository, which every task clones.",
    )
    dvc_remote: str | None = Field(
        default=None,
        description="The DVC remote that every task can reach: a folder or an address.",
    )
    run_store: str | None = Field(
        default=None,
        description="Where plans, done-manifests and records of runs are kept. Default: sortline/"
        " below the DVC remote.",
    )
    dvc_cache: Path | None = Field(
        default=None,
        description="A DVC cache that all tasks of one machine share.",
    )
    work_dir: Path | None = Field(
        default=None,
        description="Where tasks put their clones. Default: the folder of temporary files.",
    )
    features: str | None = Field(
        default=None,
        description="The address through which machines exchange computed features.",
    )
    releases: str | None = Field(
        default=None,
        description="The store of releases that runs publish to. Default: nothing is.",
    )
    endpoints: str | None = Field(
        default=None,
        description="gRPC addresses of the model servers, with commas between. Default: they poll"
        " the model config file.",
    )
    prediction_log: str | None = Field(
        default=None,
        description="The prediction log in which drift is looked for. Default: none is.",
    )
    notify_url: SecretStr | None = Field(
        default=None,
        description="Who is told how every run ended: a web address, which gets JSON,"
        ' {"text": ...}, or any address of Apprise (mail, Teams, Telegram and others).',
    )

    # Of the DAGs.
    execution: Literal["local", "kubernetes"] = Field(
        default="local",
        description="Where tasks work: local (a process each) or kubernetes (a pod each).",
    )
    recipe: str = Field(
        default="",
        description="The recipe of scheduled runs. Default: params.yaml alone.",
    )
    extraction_parts: NonNegativeInt = Field(
        default=0,
        description="In how many parts features are computed side by side. 0: in one task.",
    )
    retry_delay_s: float = Field(
        default=60.0, ge=0, description="How many seconds pass before a lost task is tried again."
    )
    python: str | None = Field(
        default=None,
        description="The Python whose sortline runs local tasks. Default: Airflow's own.",
    )

    # Of Airflow.
    airflow_url: str | None = Field(
        default=None,
        description="Airflow's address, for commands that tell it of data or start runs.",
    )
    airflow_user: str | None = Field(default=None, description="The user of Airflow's API.")
    airflow_password: SecretStr | None = Field(default=None, description="That user's password.")
    airflow_db: SecretStr | None = Field(
        default=None,
        description="PostgreSQL's address for `sortline airflow up`. Default: SQLite.",
    )

    # Of pods.
    image: str | None = Field(default=None, description="The image of a task's pod, with its tag.")
    namespace: str = Field(default="sortline", description="The namespace of a task's pod.")
    service_account: str = Field(
        default="sortline-trainer",
        description="The service account of pods that train.",
    )
    publisher_account: str = Field(
        default="sortline-publisher",
        description="The service account of pods that write releases.",
    )
    gpus: NonNegativeInt = Field(
        default=1,
        description="How many GPUs a pod of a gpu stage gets. 0: the cluster has none, and such"
        " stages run on any node.",
    )
    gpu_nodes: Json[dict[str, str]] = Field(
        default={"nvidia.com/gpu.present": "true"},
        description='The labels of nodes with GPUs: a JSON object, such as {"gpu": "true"}.',
    )
    state_claim: str | None = Field(
        default=None,
        description="The volume claim that keeps training state between a pod's tries. Default:"
        " none, and a killed training starts again.",
    )

    # Of the repository's own tools.
    waste10: Path | None = Field(
        default=None,
        description="The folder of photographs that the programs in bench/ measure on.",
    )
    jwt_secret: SecretStr | None = Field(
        default=None,
        description="The key that Airflow's tokens are signed with, in infra/compose.yaml.",
    )


def variable(field: str) -> str:
    """The name of a setting's environment variable."""
    return PREFIX + field.upper()


def read_settings() -> Settings:
    """What the environment says now.

    Raises:
        ParamsError: a variable has a value that it cannot have.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = error.errors()[0]
        field = str(wrong["loc"][0])
        raise ParamsError(
            f"{variable(field)} is {wrong['input']!r} ({wrong['msg']})."
            f" {Settings.model_fields[field].description}"
        ) from error


def required(field: str, example: str) -> str:
    """A setting that has no default.

    Raises:
        ParamsError: it is not set.
    """
    value = getattr(read_settings(), field)
    if value is None:
        raise ParamsError(f"{variable(field)} is not set. Set it, for example to {example}.")
    return str(value)


def described() -> dict[str, dict[str, Any]]:
    """Every variable by its name: its value for people (secrets are masked), what it is for.

    Raises:
        ParamsError: see `read_settings`.
    """
    settings = read_settings()
    return {
        variable(field): {
            "value": _shown(getattr(settings, field)),
            "is_set": field in settings.model_fields_set,
            "description": about.description,
        }
        for field, about in Settings.model_fields.items()
    }


def _shown(value: object) -> str:
    if value is None:
        return ""
    text = json.dumps(value) if isinstance(value, dict) else str(value)
    return re.sub(r"://[^/@\s]+@", "://***@", text)  # A user and a password in an address.
