"""Where a version comes from: `assets.extra/lineage.json`."""

import getpass
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from sortline.core.dvc import find_pin
from sortline.core.git import ask_git, checked_out
from sortline.core.paths import Paths

LINEAGE = "assets.extra/lineage.json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Made(_Part):
    """From what, and by what, a model was made; None where it cannot be known any more.

    Attributes:
        git_commit: of the code and the settings.
        git_dirty: whether files that git knows differed from it.
        dvc_lock: SHA-256 of dvc.lock.
        data: MD5 of the dataset, as data.dvc pins it.
        weights: which pretrained weights.
        weights_sha256: of those.
    """

    git_commit: str | None
    git_dirty: bool | None
    dvc_lock: str | None
    data: str | None
    weights: str | None
    weights_sha256: str | None


class Lineage(_Part):
    """All of lineage.json.

    Attributes:
        format_version: of this file's layout.
        published_at: in UTC, ISO 8601.
        published_by: a person's or an account's name.
        model_digest: of what `export` wrote.
        version_digest: of that with the warm-up requests: everything but this file.
        made: from what.
        metrics: on the test split; None when there are none of this model.
        blessing: what the gates said, as in reports/blessing.json; None when overridden.
        infra_blessing: what infra_validate said; None when overridden.
        override: why it was published without the blessings that are missing here.
        warnings: what somebody should know before promoting it.
    """

    format_version: Literal[1] = 1
    published_at: str
    published_by: str
    model_digest: str
    version_digest: str
    made: Made
    metrics: dict[str, Any] | None
    blessing: dict[str, Any] | None
    infra_blessing: dict[str, Any] | None
    override: str | None
    warnings: tuple[str, ...]

    def to_bytes(self) -> bytes:
        """The file's content."""
        return self.model_dump_json(indent=2).encode() + b"\n"


def _read(path: Path) -> dict[str, Any]:
    # Lineage records what can be known; whether it is enough is not for this file to say.
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _commit(root: Path) -> tuple[str | None, bool | None]:
    if commit := _read(root / "run.json").get("commit"):
        return str(commit), False  # An experiment's commit holds all that it was made from.
    return checked_out(root)


def _dvc_lock(root: Path, commit: str | None) -> str | None:
    import hashlib

    path = root / "dvc.lock"
    content = path.read_bytes() if path.is_file() else None
    if content is None and commit is not None and (root / "run.json").is_file():
        content = ask_git(root, "show", f"{commit}:dvc.lock")
    return hashlib.sha256(content).hexdigest() if content is not None else None


def read_made(paths: Paths) -> Made:
    """What can be found out about the making of the model below `paths.root`.

    A run of `sortline run` has its commit in run.json, and dvc.lock in that commit.
    """
    commit, dirty = _commit(paths.root)
    facts = _read(paths.phase2 / "facts.json")
    return Made(
        git_commit=commit,
        git_dirty=dirty,
        dvc_lock=_dvc_lock(paths.root, commit),
        data=find_pin(paths.root / "data.dvc"),
        weights=facts.get("weights"),
        weights_sha256=facts.get("weights_sha256"),
    )


def read_metrics(paths: Paths, model_digest: str) -> dict[str, Any] | None:
    """Accuracy, macro-F1, calibration error and intervals, if they are of this model."""
    found = _read(paths.reports / "evaluation" / "metrics.json")
    if found.get("model_digest") != model_digest:
        return None
    wanted = ("accuracy", "macro_f1", "ece", "images", "intervals")
    return {key: found[key] for key in wanted if key in found}


def publisher(root: Path) -> str:
    """Who publishes: git's user, else the account's name, else its number."""
    name = ask_git(root, "config", "user.name")
    if name and name.strip():
        return name.decode("utf-8", "replace").strip()
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # An account without a name, as containers have.
        return f"uid {os.getuid()}"


def utc(now: datetime) -> str:
    """A time as records have it: ISO 8601, in UTC, to the second."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
