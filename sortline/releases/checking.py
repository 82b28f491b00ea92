"""Whether the bytes of a version are those on record, and whether its contract is one of ours."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from sortline.core.errors import ArtifactError, RefusedError
from sortline.core.files import sha256_file, sha256_json
from sortline.model.contract import differences, read_contract, signatures, verify
from sortline.releases.lineage import LINEAGE
from sortline.releases.records import Record

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
