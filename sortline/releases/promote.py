"""`sortline promote VERSION STORE`: make a published version the one that clients get.

The steps, each of them first in the config file and then in every replica: `load` the version
beside those that are served, ask it golden requests; move the label `canary`, soak; move `stable`;
`unload` what is not needed any more. What fails before the last step puts everything back; a
process that is killed leaves `stable` where the file has it.

The gates are enforced by `sortline publish`, which refuses a model without both blessings; here a
version is trusted once its bytes are those on record. One that was published with `--override` is
promoted, too, and its override is printed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sortline.client.model_config import CANARY, STABLE
from sortline.core.errors import BusyError, RefusedError, ReleaseError, ServingError
from sortline.model.contract import read_contract
from sortline.releases.history import Move, append, read_history, stables
from sortline.releases.records import Record, read_record, utc
from sortline.releases.replicas import read_golden
from sortline.releases.rollout import Fleet, Rollout, all_or_nothing, begin, write_in_turn
from sortline.releases.soak import Soak
from sortline.releases.store import Store
from sortline.releases.version_check import check_soundness, check_version
from sortline.serving.version_folder import WARMUP

Step = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        version: its number.
        base_path: the store as the servers see it; None: as the config file says.
        pages: addresses of Prometheus pages to look at during the soak.
        now: when.
        by: who.
    """

    version: int
    base_path: str | None
    pages: Sequence[str]
    now: datetime
    by: str


def require_published(store: Store, version: int) -> Record:
    """The record of a version that can be served.

    Raises:
        RefusedError: there is no such version; the message lists those there are.
    """
    listed = store.list()
    record, _ = read_record(store, version) or (None, "")
    if record and version in listed.published and record.state in ("claimed", "published"):
        return record
    if record and record.state == "pruned":
        seen = f"Version {version} was pruned"
    elif version in listed.occupied and not record:
        seen = f"Version {version} is not on record: it did not come by `sortline publish`"
    elif record:
        seen = f"Version {version} is on record, and its graph is not in {store.address}"
    else:
        seen = f"There is no version {version} in {store.address}"
    there = ", ".join(map(str, sorted(listed.published & listed.recorded))) or "none"
    raise RefusedError(f"{seen}. Published versions: {there}.")


def _verified(store: Store, record: Record, fleet: Fleet) -> list[Any]:
    """Golden requests of a version whose every byte was looked at.

    Raises:
        RefusedError: it is broken, or must not be served.
    """
    model, limit = fleet.model, fleet.settings.probes
    with store.fetched(record.version) as folder:
        check_version(folder, record)
        check_soundness(folder, record.version, read_contract(folder))
        path = folder / WARMUP
        return read_golden(path.read_bytes() if path.is_file() else None, model, limit)


def _load(rollout: Rollout, version: int, golden: Sequence[Any]) -> None:
    fleet, deadline = rollout.fleet, rollout.fleet.deadline()
    before = fleet.check()
    rollout.apply(rollout.before.with_loaded(version), deadline)
    # Who prunes looks at the file after it has marked the record: one of both sees the other.
    require_published(rollout.store, version)
    fleet.wait(version, deadline, before)
    fleet.probe(golden, version)
    fleet.say(f"version {version} answers {len(golden)} golden requests")


def _label(rollout: Rollout, label: str, version: int, golden: Sequence[Any]) -> None:
    rollout.apply(rollout.now.with_labels(**{label: version}), rollout.fleet.deadline())
    rollout.fleet.probe(golden, version, label)
    rollout.fleet.say(f"{label} is version {version}")


def _soak(rollout: Rollout, request: Request, golden: Sequence[Any]) -> None:
    fleet, before = rollout.fleet, rollout.before.stable
    stable = before if before != request.version else None
    if fleet.settings.soak_s:
        fleet.say(f"soaking for {fleet.settings.soak_s:g} s")
        soak = Soak(fleet.replicas, golden, request.version, stable, request.pages)
        fleet.say(soak.run(fleet.settings))


def _record_move(rollout: Rollout, request: Request) -> None:
    before = rollout.before.stable
    if before is None and len(rollout.before.versions) == 1:
        (before,) = rollout.before.versions  # Served without a label until now.
    if before == request.version:
        return
    move = Move(
        kind="promote",
        before=before,
        after=request.version,
        at=utc(request.now),
        by=request.by,
    )
    append(rollout.store, move)


def kept_loaded(rollout: Rollout, stable: int) -> list[int]:
    """Versions without a label that stay loaded: the last ones that were stable, and are older.

    Newer ones do not stay: a client that names no label gets the newest that is loaded.
    """
    earlier = stables(read_history(rollout.store), stable)[:-1]
    versions: list[int] = []
    for version in reversed(earlier):
        if version < stable and version in rollout.now.versions and version not in versions:
            versions.append(version)
    return versions[: rollout.fleet.settings.keep_loaded]


def unload(rollout: Rollout, stable: int) -> None:
    """Unload what nobody needs; when that fails, the new version serves all the same."""
    try:
        needed = rollout.now.with_only(*kept_loaded(rollout, stable))
        rollout.apply(needed, rollout.fleet.deadline())
    except (BusyError, ReleaseError, ServingError) as error:
        rollout.fleet.say(f"stable is version {stable}, but older ones may stay loaded: {error}")


def _run(
    rollout: Rollout, request: Request, golden: Sequence[Any], steps: Iterable[str], step: Step
) -> None:
    version = request.version
    for name in steps:
        step(name)
        match name:
            case "load":
                _load(rollout, version, golden)
            case "canary":
                _label(rollout, CANARY, version, golden)
            case "soak":
                _soak(rollout, request, golden)
            case "stable":
                _record_move(rollout, request)
                _label(rollout, STABLE, version, golden)


def _write_alone(rollout: Rollout, request: Request) -> None:
    """Without replicas to ask: the file alone, for servers that poll it."""
    _record_move(rollout, request)
    before, settings = rollout.before.stable, rollout.fleet.settings
    # A newer one does not stay: who asks without a label gets the newest.
    stays = before is not None and before < request.version and settings.keep_loaded
    write_in_turn(rollout, request.version, (before,) if before and stays else ())


STEPS = ("load", "canary", "soak", "stable")


def promote(store: Store, fleet: Fleet, request: Request, step: Step = lambda _: None) -> None:
    """Make a version `canary`, then `stable`, on every replica.

    Args:
        store: where it was published, and where the config file is.
        fleet: the replicas.
        request: which version.
        step: is told the name of each step before it begins.

    Raises:
        RefusedError: it is not published, broken, or worse than stable. Nothing has changed.
        ServingError, ReleaseError, BusyError: a replica or the store fails, somebody else changes
            the file. Everything was put back as far as the message says.
    """
    record = require_published(store, request.version)
    if record.lineage.override is not None:
        fleet.say(
            f"version {record.version} was published without a blessing that is required:"
            f" {record.lineage.override}"
        )
    golden = _verified(store, record, fleet)
    fleet.check()
    rollout = begin(store, fleet, request.base_path)
    with all_or_nothing(rollout):
        if fleet.replicas:
            _run(rollout, request, golden, STEPS, step)
        else:
            step("write")
            _write_alone(rollout, request)
            require_published(store, request.version)
    if fleet.replicas:
        step("unload")
        unload(rollout, request.version)
