"""What is on record of a version: `_releases/<N>.json`, beside the versions, and its lineage.

Whoever creates the file has the number; it names every file and digest of the version from the
start. The version itself is published when its graph lies in its place. Where it comes from stands
in the record and in the version's own `assets.extra/lineage.json`.
"""

import getpass
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sortline.core.errors import ReleaseError
from sortline.core.git import ask_git
from sortline.releases.store import Listing, Store, record_name

LINEAGE = "assets.extra/lineage.json"


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    def to_bytes(self) -> bytes:
        """The file's content."""
        return self.model_dump_json(indent=2).encode() + b"\n"


class Made(_File):
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


class Lineage(_File):
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


# claimed: being published, or that was given up. The others say what became of it; abandoned: its
# publisher died, and who came next was not allowed to remove what was left.
State = Literal["claimed", "published", "abandoned", "pruned"]


class Record(_File):
    """One version's record.

    Attributes:
        format_version: of this file's layout.
        version: its number.
        state: see `State`; a claimed version whose graph is in place is published, too.
        token: of the run of `sortline publish` that wrote it.
        files: SHA-256 of each file of the version, by its path in it.
        lineage: as in the version's own lineage.json.
    """

    format_version: Literal[1] = 1
    version: int
    state: State
    token: str
    files: Mapping[str, str]
    lineage: Lineage


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


def read_record(store: Store, version: int) -> tuple[Record, str] | None:
    """The record of a version and its tag; None when it has none.

    Raises:
        ReleaseError: the file is damaged, or of another Sortline.
    """
    file = store.read(record_name(version))
    if file is None:
        return None
    try:
        return Record.model_validate_json(file.data), file.tag
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ReleaseError(
            f"{store.address}/{record_name(version)}: {where}: {fault['msg']}. It was changed, or"
            " written by another Sortline: restore it, or use that one."
        ) from error


def read_records(store: Store, listed: Listing) -> dict[int, tuple[Record, str]]:
    """All records and their tags, by version."""
    records = {version: read_record(store, version) for version in sorted(listed.recorded)}
    return {version: record for version, record in records.items() if record is not None}


def change_state(store: Store, record: Record, tag: str, state: State) -> str:
    """Write another state into a record that still has this tag; the new tag.

    Raises:
        BusyError: somebody else has changed it.
    """
    changed = record.model_copy(update={"state": state})
    return store.write(record_name(record.version), changed.to_bytes(), tag)


def published_versions(
    listed: Listing, records: Mapping[int, tuple[Record, str]]
) -> dict[int, Record]:
    """The records of all versions that can be served, by version."""
    return {
        version: record
        for version, (record, _) in records.items()
        if version in listed.published and record.state in ("claimed", "published")
    }
