"""Numbers of versions, and who has which: taken by creating a record, given back by removing it.

A publisher that dies leaves its record, and perhaps files that no server can load. The next one
tells such a record by the lock that its publisher held (on the same machine), or by its age, and
takes the number over; where it may not remove what was left, that number is given up for good.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sortline.core.errors import BusyError, ReleaseError
from sortline.core.files import exclusive
from sortline.releases.lineage import utc
from sortline.releases.records import (
    Record,
    change_state,
    read_record,
    read_records,
)
from sortline.releases.store import Listing, Store, record_name


@dataclass
class Publisher:
    """One run of `sortline publish`.

    Attributes:
        token: nobody else's.
        locks: a folder of this machine, the same from run to run.
        before: claims of other machines that are older than this (a time as `utc` writes it)
            belong to runs that were given up.
        until: when others may take this run for one of those, of `time.time`.
        owes: whether there may be a claim of this run that became neither a version nor nothing.
    """

    token: str
    locks: Path
    before: str
    until: float
    owes: bool = False

    def is_gone(self, record: Record) -> bool:
        """Whether nobody works on this claim any more."""
        lock = self.locks / f"{record.token}.lock"
        if not lock.exists():
            return record.lineage.published_at < self.before
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
            if not publisher.owes:
                lock.unlink()


def _is_free(number: int, listed: Listing, found: Record | None, publisher: Publisher) -> bool:
    if found is None:
        return number not in listed.occupied
    claimed = found.state == "claimed" and number not in listed.published
    return claimed and publisher.is_gone(found)


def _last(listed: Listing, recorded: set[int]) -> int:
    """The highest number that is used up: published, or a folder that nobody has on record."""
    return max(listed.published | (listed.occupied - recorded), default=0)


@dataclass(frozen=True)
class Claim:
    """A number that is ours, by this record with this tag."""

    record: Record
    tag: str


def claim(store: Store, listed: Listing, wanted: Record, publisher: Publisher) -> Claim:
    """Take the number after the last version's, or the next that nobody else is working on.

    Args:
        store: where.
        listed: what is in it.
        wanted: the record to write; its number is replaced.
        publisher: who.

    Raises:
        ReleaseError: the store fails.
    """
    records = read_records(store, listed)
    number = _last(listed, set(records))
    while True:
        number += 1
        found = records.get(number)
        if not _is_free(number, listed, found[0] if found else None, publisher):
            continue
        record = wanted.model_copy(update={"version": number})
        with suppress(BusyError):  # Somebody was faster: the next number, then.
            own = Claim(record, _write(store, record, found[1] if found else None, publisher))
            if found is None or _takes_over(store, own, found[0], publisher):
                return own


def _write(store: Store, record: Record, tag: str | None, publisher: Publisher) -> str:
    name = record_name(record.version)
    publisher.owes = True
    try:
        return store.write(name, record.to_bytes(), tag)
    except ReleaseError:
        with suppress(ReleaseError):  # It may have been written all the same.
            found = read_record(store, record.version)
            if found and found[0].token == record.token:
                store.remove(name, found[1])
            publisher.owes = False
        raise


def _takes_over(store: Store, own: Claim, gone: Record, publisher: Publisher) -> bool:
    """Remove what a dead publisher left; False when that is not allowed: nobody uses it then."""
    (publisher.locks / f"{gone.token}.lock").unlink(missing_ok=True)
    try:
        store.discard(gone.version)
    except ReleaseError:
        change_state(store, own.record, own.tag, "abandoned")
        publisher.owes = False
        return False
    return True


def require_own(store: Store, own: Claim) -> None:
    """Look whether the number is still ours, right before what cannot be taken back.

    Raises:
        ReleaseError: publishing took so long that somebody else has taken the number over.
    """
    found = read_record(store, own.record.version)
    if found is None or found[0].token != own.record.token:
        raise ReleaseError(
            f"{store.address}: version {own.record.version} was taken over by somebody else:"
            " publishing took longer than publish.claim_s. Publish again."
        )


def give_back(store: Store, own: Claim, publisher: Publisher) -> None:
    """Remove everything of a claim that did not become a version.

    Raises:
        ReleaseError: the store fails; what is left is removed by the next publisher.
    """
    found = None
    try:
        found = read_record(store, own.record.version)
    except ReleaseError:
        # A store that fails now may yet do what it is told; but the number may be another's by now.
        if time.time() >= publisher.until:
            raise
    if found is None or found[0].token == own.record.token:
        store.discard(own.record.version)
        store.remove(record_name(own.record.version), own.tag)
    publisher.owes = False
