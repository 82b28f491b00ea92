"""What is on record of a version: `_releases/<N>.json`, beside the versions.

Whoever creates the file has the number; it names every file and digest of the version from the
start. The version itself is published when its graph lies in its place. Here a version's bytes are
compared with that record, too.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sortline.core.errors import ArtifactError, RefusedError, ReleaseError
from sortline.core.files import sha256_file, sha256_json
from sortline.model.contract import differences, read_contract, signatures, verify
from sortline.releases.lineage import LINEAGE, Lineage
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


_LIMIT = 5  # Faults that are named; a wholly different folder has many.


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below a folder, by its path in it."""
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def version_digest(files: Mapping[str, str]) -> str:
    """What `files.digest_tree` says of files with these digests, the lineage left out."""
    names = sorted((name for name in files if name != LINEAGE), key=PurePosixPath)
    return sha256_json([[name, files[name]] for name in names])


def _faults(folder: Path, wanted: Mapping[str, str]) -> Iterator[str]:
    # A link could be pointed elsewhere after this look at it.
    for path in [folder, *sorted(folder.rglob("*"))]:
        if path.is_symlink():
            yield f"{path.relative_to(folder.parent)} is a link"
    found = digests(folder)
    yield from (f"{name} is missing" for name in sorted(wanted.keys() - found.keys()))
    yield from (f"{name} is not on record" for name in sorted(found.keys() - wanted.keys()))
    for name in sorted(found.keys() & wanted.keys()):
        if found[name] != wanted[name]:
            size = (folder / name).stat().st_size
            yield f"{name} was changed: its {size} bytes have another SHA-256 than on record"


def check_files(folder: Path, record: Record) -> None:
    """Compare names and digests of all files with the record.

    Raises:
        RefusedError: they differ; the faults are named.
    """
    if faults := list(_faults(folder, record.files)):
        more = f", and {len(faults) - _LIMIT} more" if len(faults) > _LIMIT else ""
        raise RefusedError(
            f"Version {record.version} is broken: {'; '.join(faults[:_LIMIT])}{more}. Versions"
            " never change: publish the model again, as a new one."
        )


def check_version(folder: Path, record: Record) -> None:
    """All that can be said of a version without TensorFlow: its bytes, its digests, its contract.

    Raises:
        RefusedError: it is not what was published, or not a model that our clients can ask.
    """
    check_files(folder, record)
    number, lineage = record.version, record.lineage
    try:
        found, contract = verify(folder), read_contract(folder)
    except ArtifactError as error:
        raise RefusedError(f"Version {number} is broken: {error}") from error
    if (found, version_digest(record.files)) != (lineage.model_digest, lineage.version_digest):
        raise RefusedError(
            f"Version {number} is not the model that its lineage names: that is"
            f" {lineage.model_digest[:12]}, its files are {found[:12]}. Publish the model again."
        )
    wanted = signatures(len(contract.labels), contract.preprocessing.image_size_px)
    ours = contract.model_copy(update={"signatures": wanted})
    if faults := differences(ours, contract):
        raise RefusedError(
            f"Version {number} has other signatures than our clients use: {'; '.join(faults)}."
            " Export it with this pipeline."
        )
