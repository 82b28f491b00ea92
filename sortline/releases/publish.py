"""`sortline publish STORE`: copy the validated version into a store, whole or not at all.

Reads: artifacts/version, reports/blessing.json, reports/infra_blessing.json, and for the lineage
reports/evaluation/metrics.json, artifacts/phase2/facts.json, data.dvc, dvc.lock and git.
Refuses: what has no blessing of the gates and of a server, both of these very bytes.
"""

import hashlib
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sortline.core.errors import BusyError, RefusedError, ReleaseError
from sortline.core.paths import Paths
from sortline.core.storage import Limits
from sortline.releases.admission import Candidate, admit, read_candidate
from sortline.releases.claims import (
    Claim,
    Publisher,
    claim,
    give_back,
    publishing,
    require_own,
)
from sortline.releases.lineage import (
    LINEAGE,
    Lineage,
    publisher,
    read_made,
    read_metrics,
    utc,
)
from sortline.releases.records import (
    Record,
    change_state,
    check_files,
    digests,
    published_versions,
    read_records,
    version_digest,
)
from sortline.releases.settings import Publish
from sortline.releases.store import GRAPH, Store, open_store


@dataclass(frozen=True)
class Published:
    """What became of it; `is_new` is False when the same content was there already."""

    version: int
    is_new: bool
    lineage: Lineage


def prepare_lineage(
    paths: Paths, candidate: Candidate, settings: Publish, now: datetime, override: str | None
) -> Lineage:
    """Gather everything that is recorded of a version.

    Raises:
        RefusedError: see `admission.admit`.
    """
    admission = admit(paths, candidate, settings.serving_version, override)
    made = read_made(paths)
    dirty = ["files that git knows had changes without a commit"] if made.git_dirty else []
    return Lineage(
        published_at=utc(now),
        published_by=publisher(paths.root),
        model_digest=candidate.model_digest,
        version_digest=candidate.version_digest,
        made=made,
        metrics=read_metrics(paths, candidate.model_digest),
        blessing=admission.blessing,
        infra_blessing=admission.infra_blessing,
        override=override,
        warnings=(*admission.warnings, *dirty),
    )


def _same(store: Store, content: str) -> Record | None:
    """The newest version with this content, if there is one; its files are read to make sure."""
    listed = store.list()
    records = published_versions(listed, read_records(store, listed))
    same = [each for each in records.values() if each.lineage.version_digest == content]
    if not same:
        return None
    found = max(same, key=lambda each: each.version)
    with store.fetched(found.version) as folder:
        check_files(folder, found)
    return found


def _files(candidate: Candidate, lineage: Lineage) -> dict[str, str]:
    found = digests(candidate.folder)
    if version_digest(found) != candidate.version_digest:
        raise RefusedError(
            f"{candidate.folder} changed while it was read. Run `sortline infra-validate`, and"
            " publish when it has ended."
        )
    return {**found, LINEAGE: hashlib.sha256(lineage.to_bytes()).hexdigest()}


def _bring(store: Store, own: Claim, candidate: Candidate, lineage: Lineage) -> None:
    """Put every file, the graph last; read all of them back; then make the version visible."""
    version, wanted = own.record.version, own.record.files
    names = sorted(wanted, key=lambda name: (name == GRAPH, name))
    with tempfile.TemporaryDirectory(prefix="sortline-") as scratch:
        added = Path(scratch) / "lineage.json"
        added.write_bytes(lineage.to_bytes())
        for name in names:
            source = added if name == LINEAGE else candidate.folder / name
            store.put(version, name, source, wanted[name])
    for name in names:
        if (found := store.digest(version, name)) != wanted[name]:
            raise ReleaseError(
                f"{store.address}: {name} came back with the SHA-256 {found}, and {wanted[name]}"
                " was written. Look after the storage, then publish again."
            )
    require_own(store, own)
    store.commit(version, wanted[GRAPH])


def _bring_or_withdraw(
    store: Store, own: Claim, candidate: Candidate, lineage: Lineage, by: Publisher
) -> None:
    try:
        _bring(store, own, candidate, lineage)
    except BaseException as error:
        try:
            give_back(store, own, by)
        except (ReleaseError, BusyError) as second:
            raise ReleaseError(
                f"{error} Nor could what was written of version {own.record.version} be removed:"
                f" {second} The next publish removes it, or passes that number over."
            ) from error
        raise


def publish(store: Store, candidate: Candidate, lineage: Lineage, by: Publisher) -> Published:
    """Make a new version of a candidate, unless its content is one already.

    Raises:
        ReleaseError: the store fails. No version was made; the same call can be repeated.
        RefusedError: there is such a version, and its files are not what was published.
    """
    store.prepare()
    if found := _same(store, candidate.version_digest):
        return Published(found.version, False, found.lineage)
    wanted = Record(
        version=1,
        state="claimed",
        token=by.token,
        files=_files(candidate, lineage),
        lineage=lineage,
    )
    own = claim(store, store.list(), wanted, by)
    _bring_or_withdraw(store, own, candidate, lineage, by)
    by.owes = False
    # The version is there, whether or not its record can be told so.
    with suppress(ReleaseError, BusyError):
        change_state(store, own.record, own.tag, "published")
    return Published(own.record.version, True, lineage)


def publish_to(
    address: str, paths: Paths, settings: Publish, now: datetime, override: str | None
) -> Published:
    """Publish what is validated below `paths`; `override` is the reason, None without one.

    Raises:
        ArtifactError: there is no validated version.
        RefusedError, ReleaseError: see `prepare_lineage` and `publish`.
    """
    candidate = read_candidate(paths)
    lineage = prepare_lineage(paths, candidate, settings, now, override)
    limits = Limits(settings.timeout_s, settings.attempts)
    # One folder a store: what is left behind there is of this store.
    here = hashlib.sha256(address.encode()).hexdigest()[:16]
    locks = Path.cwd() / ".sortline" / "publish" / here
    with (
        open_store(address, limits) as store,
        publishing(locks, now, settings.claim_s) as by,
    ):
        return publish(store, candidate, lineage, by)
