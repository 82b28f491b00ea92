"""`sortline rollback STORE`: `stable` goes back to the version that had it before."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sortline.client.model_config import CANARY, STABLE
from sortline.core.errors import BusyError, RefusedError, ReleaseError
from sortline.releases.history import Move, append, read_history, stables
from sortline.releases.promote import require_published, unload
from sortline.releases.records import utc
from sortline.releases.replicas import read_golden
from sortline.releases.rollout import Fleet, Rollout, States, all_or_nothing, begin, write_in_turn
from sortline.releases.store import Store
from sortline.releases.version_check import check_version
from sortline.serving.version_folder import WARMUP


def version_before(store: Store, stable: int | None) -> int:
    """The version that was stable before this one.

    Raises:
        RefusedError: nobody knows.
    """
    if stable is None:
        raise RefusedError(f"{store.address}: no version is stable. Promote one.")
    earlier = stables(read_history(store), stable)[:-1]
    if not earlier:
        raise RefusedError(
            f"{store.address}: no version is on record as stable before version {stable}. Promote"
            " the one that you want."
        )
    return earlier[-1]


def _golden(rollout: Rollout, version: int) -> list[Any]:
    """Golden requests; of a version that has to be loaded first, all bytes are looked at."""
    fleet, store = rollout.fleet, rollout.store
    record = require_published(store, version)
    if version not in rollout.now.versions:
        with store.fetched(version) as folder:
            check_version(folder, record)
    requests = store.read(f"{version}/{WARMUP}")
    return read_golden(requests.data if requests else None, fleet.model, fleet.settings.probes)


def _move(rollout: Rollout, version: int, golden: Sequence[Any], seen: States) -> None:
    fleet, deadline = rollout.fleet, rollout.fleet.deadline()
    if version not in rollout.now.versions:
        rollout.apply(rollout.now.with_loaded(version), deadline)
        require_published(rollout.store, version)
    fleet.wait(version, deadline, seen)
    fleet.probe(golden, version)
    rollout.apply(rollout.now.with_labels(**{CANARY: version, STABLE: version}), deadline)
    fleet.probe(golden, version, STABLE)


def rollback(
    store: Store, fleet: Fleet, base_path: str | None, now: datetime, by: str
) -> tuple[int, int]:
    """Move `stable`, and `canary` with it, back; the versions before and after.

    A version that is still loaded takes one reload; another is loaded first.

    Raises:
        RefusedError: no version was stable before, or it does not answer as it must.
        ServingError, ReleaseError, BusyError: see `promote`.
    """
    seen = fleet.check()
    rollout = begin(store, fleet, base_path)
    version = version_before(store, rollout.before.stable)
    golden = _golden(rollout, version)
    with all_or_nothing(rollout):
        if fleet.replicas:
            _move(rollout, version, golden, seen)
        else:
            # What it was must not stay loaded: who asks without a label gets the newest.
            write_in_turn(rollout, version, ())
            require_published(store, version)
    left = rollout.before.stable or 0
    try:
        append(store, Move(kind="rollback", before=left, after=version, at=utc(now), by=by))
    except (BusyError, ReleaseError) as error:
        # What was stable before can be told without it.
        fleet.say(f"the rollback could not be written down: {error}")
    if fleet.replicas:
        unload(rollout, version)
    return left, version
