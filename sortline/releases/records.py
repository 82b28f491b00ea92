"""What is on record of a version: `_releases/<N>.json`, beside the versions.

Whoever creates the file has the number; it names every file and digest of the version from the
start. The version itself is published when its graph lies in its place.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sortline.core.errors import ReleaseError
from sortline.releases.lineage import Lineage
from sortline.releases.store import Listing, Store, record_name

# claimed: being published, or that was given up. The others say what became of it; abandoned: its
# publisher died, and who came next was not allowed to remove what was left.
State = Literal["claimed", "published", "abandoned", "pruned"]


class Record(BaseModel):
    """One version's record.

    Attributes:
        format_version: of this file's layout.
        version: its number.
        state: see `State`; a claimed version whose graph is in place is published, too.
        token: of the run of `sortline publish` that wrote it.
        files: SHA-256 of each file of the version, by its path in it.
        lineage: as in the version's own lineage.json.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    format_version: Literal[1] = 1
    version: int
    state: State
    token: str
    files: Mapping[str, str]
    lineage: Lineage

    def to_bytes(self) -> bytes:
        """The file's content."""
        return self.model_dump_json(indent=2).encode() + b"\n"


def read_record(store: Store, version: int) -> tuple[Record, str] | None:
    """The record of a version and its tag; None when it has none.

    Raises:
        ReleaseError: the file is damaged, or of another Sortline.
    """
    found = store.read(record_name(version))
    if found is None:
        return None
    try:
        return Record.model_validate_json(found.data), found.tag
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ReleaseError(
            f"{store.address}/{record_name(version)}: {where}: {fault['msg']}. It was changed, or"
            " written by another Sortline: restore it, or use that one."
        ) from error


def read_records(store: Store, listed: Listing) -> dict[int, tuple[Record, str]]:
    """All records, by version."""
    found = {version: read_record(store, version) for version in sorted(listed.recorded)}
    return {version: each for version, each in found.items() if each is not None}


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
