"""`sortline publish STORE`: copy the validated version into a store, whole or not at all.

Reads: artifacts/version, reports/blessing.json, reports/infra_blessing.json, and for the lineage
reports/evaluation/metrics.json, artifacts/phase2/facts.json, data.dvc, dvc.lock and git.
Refuses: what has no blessing of the gates and of a server, both of these very bytes.

Who creates the record of a number has the number, and gives it back by removing the record. A
publisher that dies leaves its record, and perhaps files that no server can load. The next one tells
such a record by the lock that its publisher held (on the same machine), or by its age, and takes
the number over; where it may not remove what was left, that number is given up for good.
"""

import hashlib
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sortline.core.errors import BusyError, RefusedError, ReleaseError
from sortline.core.files import exclusive
from sortline.core.paths import Paths
from sortline.core.storage import Limits
from sortline.releases.admission import Candidate, prepare_lineage, read_candidate
from sortline.releases.records import (
    LINEAGE,
    Lineage,
    Record,
    change_state,
    published_versions,
    read_record,
    read_records,
    utc,
)
from sortline.releases.settings import Publish
from sortline.releases.store import GRAPH, Listing, Store, open_store, record_name
from sortline.releases.version_check import check_files, digests, version_digest


@dataclass
class Publisher:
    """One run of `sortline publish`.

    Attributes:
        token: nobody else's.
        locks: a folder of this machine, the same from run to run.
        given_up_before: claims of other machines that are older than this (a time as `utc` writes
            it) belong to runs that were given up.
        until: when others may take this run for one of those, of `time.time`.
        unresolved: a claim of this run may still be in the store, and is not a version.
    """

    token: str
    locks: Path
    given_up_before: str
    until: float
    unresolved: bool = False

    def is_gone(self, record: Record) -> bool:
        """Whether nobody works on this claim any more."""
        lock = self.locks / f"{record.token}.lock"
        if not lock.exists():
            return record.lineage.published_at < self.given_up_before
        try:
            with exclusive(lock, "Publishing"):
                return True
        except BusyError:
            return False


@contextmanager
def publishing(locks: Path, now: datetime, claim_s: float) -> Iterator[Publisher]:
    """A publisher, who counts as working until the block ends or the process does."""
    token = uuid.uuid4().hex
    lock = locks / f"{token}.lock"
    before = utc(datetime.fromtimestamp(now.timestamp() - claim_s, now.tzinfo))
    with exclusive(lock, "Publishing"):
        publisher = Publisher(token, locks, before, time.time() + claim_s)
        try:
            yield publisher
        finally:
            # A free lock that is left tells the next run that its claim can be taken over.
            if not publisher.unresolved:
                lock.unlink()


@dataclass(frozen=True)
class Claim:
    """A number that is ours, by this record with this tag."""

    record: Record
    tag: str


def _claim(store: Store, listed: Listing, draft: Record, by: Publisher) -> Claim:
    """Take the number after the last version's, or the next that nobody else is working on.

    Args:
        store: where.
        listed: what is in it.
        draft: the record to write; its number is replaced.
        by: who.

    Raises:
        ReleaseError: the store fails.
    """
    records = read_records(store, listed)
    # Used up: what is published, and folders that nobody has on record.
    number = max(listed.published | (listed.occupied - set(records)), default=0)
    while True:
        number += 1
        earlier, tag = records.get(number, (None, None))
        if earlier and not (earlier.state == "claimed" and by.is_gone(earlier)):
            continue
        record = draft.model_copy(update={"version": number})
        with suppress(BusyError):  # Somebody was faster: the next number, then.
            own = Claim(record, _write_claim(store, record, tag, by))
            if earlier is None or _cleared(store, own, earlier, by):
                return own


def _write_claim(store: Store, record: Record, tag: str | None, by: Publisher) -> str:
    name = record_name(record.version)
    by.unresolved = True
    try:
        return store.write(name, record.to_bytes(), tag)
    except ReleaseError:
        with suppress(ReleaseError):  # It may have been written all the same.
            there = read_record(store, record.version)
            if there and there[0].token == record.token:
                store.remove(name, there[1])
            by.unresolved = False
        raise


def _cleared(store: Store, own: Claim, gone: Record, by: Publisher) -> bool:
    """Remove what a dead publisher left; False when that is not allowed: nobody uses it then."""
    (by.locks / f"{gone.token}.lock").unlink(missing_ok=True)
    try:
        store.discard(gone.version)
    except ReleaseError:
        change_state(store, own.record, own.tag, "abandoned")
        by.unresolved = False
        return False
    return True


def _give_back(store: Store, own: Claim, by: Publisher) -> None:
    """Remove everything of a claim that did not become a version.

    Raises:
        ReleaseError: the store fails; what is left is removed by the next publisher.
    """
    there = None
    try:
        there = read_record(store, own.record.version)
    except ReleaseError:
        # A store that fails now may yet do what it is told; but the number may be another's by now.
        if time.time() >= by.until:
            raise
    if there is None or there[0].token == own.record.token:
        store.discard(own.record.version)
        store.remove(record_name(own.record.version), own.tag)
    by.unresolved = False


@dataclass(frozen=True)
class Published:
    """What became of it; `is_new` is False when the same content was there already."""

    version: int
    is_new: bool
    lineage: Lineage


def _same(store: Store, content: str) -> Record | None:
    """The newest version with this content, if there is one; its files are read to make sure."""
    listed = store.list()
    records = published_versions(listed, read_records(store, listed))
    same = [record for record in records.values() if record.lineage.version_digest == content]
    if not same:
        return None
    newest = max(same, key=lambda record: record.version)
    with store.fetched(newest.version) as folder:
        check_files(folder, newest)
    return newest


def _files(candidate: Candidate, lineage: Lineage) -> dict[str, str]:
    """SHA-256 of each file that the version will have, by its path in it."""
    files = digests(candidate.folder)
    if version_digest(files) != candidate.version_digest:
        raise RefusedError(
            f"{candidate.folder} changed while it was read. Run `sortline infra-validate`, and"
            " publish when it has ended."
        )
    return {**files, LINEAGE: hashlib.sha256(lineage.to_bytes()).hexdigest()}


def _bring(store: Store, own: Claim, folder: Path) -> None:
    """Put every file, the graph last; read all of them back; then make the version visible."""
    version, files = own.record.version, own.record.files
    names = sorted(files, key=lambda name: (name == GRAPH, name))
    with tempfile.TemporaryDirectory(prefix="sortline-") as scratch:
        lineage = Path(scratch) / "lineage.json"
        lineage.write_bytes(own.record.lineage.to_bytes())
        for name in names:
            store.put(version, name, lineage if name == LINEAGE else folder / name, files[name])
    for name in names:
        if (read_back := store.digest(version, name)) != files[name]:
            raise ReleaseError(
                f"{store.address}: {name} came back with the SHA-256 {read_back}, and {files[name]}"
                " was written. Look after the storage, then publish again."
            )
    # Is the number still ours? What comes now cannot be taken back.
    there = read_record(store, version)
    if there is None or there[0].token != own.record.token:
        raise ReleaseError(
            f"{store.address}: version {version} was taken over by somebody else: publishing took"
            " longer than publish.claim_s. Publish again."
        )
    store.commit(version, files[GRAPH])


def publish(store: Store, candidate: Candidate, lineage: Lineage, by: Publisher) -> Published:
    """Make a new version of a candidate, unless its content is one already.

    Raises:
        ReleaseError: the store fails. No version was made; the same call can be repeated.
        RefusedError: there is such a version, and its files are not what was published.
    """
    store.prepare()
    if same := _same(store, candidate.version_digest):
        return Published(same.version, False, same.lineage)
    files = _files(candidate, lineage)
    draft = Record(version=1, state="claimed", token=by.token, files=files, lineage=lineage)
    own = _claim(store, store.list(), draft, by)
    try:
        _bring(store, own, candidate.folder)
    except BaseException as error:
        try:
            _give_back(store, own, by)
        except (ReleaseError, BusyError) as second:
            raise ReleaseError(
                f"{error} Nor could what was written of version {own.record.version} be removed:"
                f" {second} The next publish removes it, or passes that number over."
            ) from error
        raise
    by.unresolved = False
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
    lineage = prepare_lineage(paths, candidate, settings.serving_version, now, override)
    # One folder a store: what is left behind there is of this store.
    here = hashlib.sha256(address.encode()).hexdigest()[:16]
    locks = Path.cwd() / ".sortline" / "publish" / here
    with (
        open_store(address, Limits(settings.timeout_s, settings.attempts)) as store,
        publishing(locks, now, settings.claim_s) as by,
    ):
        return publish(store, candidate, lineage, by)
