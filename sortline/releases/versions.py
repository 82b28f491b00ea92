"""`sortline releases STORE`: the versions of a store, as a table or as JSON; old ones removed.

What is served goes never, nor what a rollback would bring back.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from sortline.client.model_config import Served, served_by, settings_of
from sortline.core.errors import RefusedError, ServingError
from sortline.evaluation.blessing import short
from sortline.releases.history import read_history, stables
from sortline.releases.records import Lineage, change_state, published_versions, read_records
from sortline.releases.replicas import State
from sortline.releases.rollout import Fleet, read_config
from sortline.releases.store import CONFIG, Store

_NOTHING = "-"


@dataclass(frozen=True)
class Release:
    """One version; None and empty where nothing is known.

    Attributes:
        loaded: whether the config file wants it loaded.
        states: what each replica says of it.
        lineage: None of a folder that is not on record.
    """

    version: int
    labels: tuple[str, ...]
    loaded: bool
    states: Mapping[str, str]
    lineage: Lineage | None


@dataclass(frozen=True)
class Releases:
    """All versions, newest first, and what each replica said that could not be asked."""

    store: str
    versions: tuple[Release, ...]
    unreachable: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """All of it; the lineage as in lineage.json."""
        versions = [
            {
                **asdict(release),
                "lineage": release.lineage.model_dump(mode="json") if release.lineage else None,
            }
            for release in self.versions
        ]
        return {
            "store": self.store,
            "versions": versions,
            "unreachable": dict(self.unreachable),
        }


def read_releases(store: Store, fleet: Fleet) -> Releases:
    """Gather what the store, the config file and the replicas say.

    Raises:
        ReleaseError: the store fails, or a file of it is damaged.
    """
    listed = store.list()
    records = published_versions(listed, read_records(store, listed))
    config, _ = read_config(store)
    served = served_by(config, fleet.model) or Served()
    states: dict[str, dict[int, State]] = {}
    unreachable: dict[str, str] = {}
    for replica in fleet.replicas:
        try:
            states[replica.target] = replica.states(fleet.model, fleet.call_deadline())
        except ServingError as error:
            unreachable[replica.target] = str(error)
    unrecorded = listed.published - listed.recorded
    releases = [
        Release(
            version=version,
            labels=tuple(sorted(label for label, at in served.labels.items() if at == version)),
            loaded=version in served.versions,
            states={
                target: by_version[version].shown
                for target, by_version in states.items()
                if version in by_version
            },
            lineage=records[version].lineage if version in records else None,
        )
        for version in sorted({*records, *unrecorded}, reverse=True)
    ]
    return Releases(store.address, tuple(releases), unreachable)


def _state(release: Release, replicas: int) -> str:
    if not replicas:
        return "to be loaded" if release.loaded else _NOTHING
    if not release.states:
        return _NOTHING
    counts = Counter(release.states.values())
    return "; ".join(f"{state} {count}/{replicas}" for state, count in counts.most_common())


def _verdicts(lineage: Lineage) -> str:
    gates = lineage.blessing["verdicts"] if lineage.blessing else None
    passed = f"{sum(v['passed'] for v in gates)}/{len(gates)} gates" if gates else "no gates"
    server = lineage.infra_blessing["server"]["kind"] if lineage.infra_blessing else "no server"
    override = f"; overridden: {lineage.override}" if lineage.override else ""
    return f"{passed}, {server}{override}"


def _facts(lineage: Lineage | None) -> list[str]:
    if lineage is None:
        return [_NOTHING, "not on record", *[_NOTHING] * 3]
    accuracy, made = (lineage.metrics or {}).get("accuracy"), lineage.made
    data = short(made.data)[:8] if made.data else _NOTHING
    commit = made.git_commit[:8] if made.git_commit else _NOTHING
    return [
        _NOTHING if accuracy is None else f"{accuracy:.2%}",
        _verdicts(lineage),
        f"{data}\n{commit}{'+' if made.git_dirty else ''}",
        lineage.published_at.replace("T", "\n").removesuffix("Z"),
        lineage.published_by,
    ]


# Least widths that make 80 columns together; words are folded in the ones that can grow.
_COLUMNS = {
    "version": 7,
    "labels": 6,
    "state": 9,
    "accuracy": 8,
    "verdicts": 12,
    "data, git": 9,
    "UTC": 10,
    "who": 8,
}


def table(releases: Releases, replicas: int) -> Table:
    """One row a version; a `+` after the git revision: the tree had changes."""
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column, width in _COLUMNS.items():
        drawn.add_column(column, min_width=width, overflow="fold")
    for release in releases.versions:
        labels = Text("\n".join(release.labels) or _NOTHING, "green" if release.labels else "")
        cells = [Text(cell) for cell in (_state(release, replicas), *_facts(release.lineage))]
        drawn.add_row(Text(str(release.version)), labels, *cells)
    return drawn


def warnings(releases: Releases) -> Sequence[str]:
    """What somebody should know of versions that may still be promoted, one line each."""
    return [
        f"version {release.version}: {warning}"
        for release in releases.versions
        if release.lineage
        for warning in release.lineage.warnings
    ]


def in_use(store: Store, fleet: Fleet) -> frozenset[int]:
    """Versions that are served, have a label, or are what a rollback would go to.

    Raises:
        RefusedError: the config file does not say which versions are served: any may be loaded.
        ServingError: a replica cannot be asked.
    """
    config, _ = read_config(store)
    served = served_by(config, fleet.model)
    if served is None and settings_of(config, fleet.model):
        raise RefusedError(
            f"{store.address}/{CONFIG} does not say which versions of {fleet.model} are served:"
            " none was pruned. Promote one first."
        )
    served = served or Served()
    used = served.versions | set(served.labels.values()) | fleet.serving()
    if served.stable is not None:
        used |= set(stables(read_history(store), served.stable)[-2:])
    return used


def prune(store: Store, fleet: Fleet, keep: int) -> list[int]:
    """Remove all published versions but the newest `keep` and those in use; the ones removed.

    Raises:
        RefusedError, ServingError: see `in_use`.
        BusyError: somebody else changes a record meanwhile.
    """
    used, listed = in_use(store, fleet), store.list()
    records = read_records(store, listed)
    newest = sorted(published_versions(listed, records))[-keep:]
    removed = []
    for version, (record, tag) in sorted(records.items()):
        kept = version in newest or version in used
        if record.state in ("pruned", "abandoned"):
            if version in listed.occupied and version not in used:
                store.discard(version)  # Somebody was killed, or not allowed to.
        elif not kept and version in listed.published:
            marked = change_state(store, record, tag, "pruned")
            # Who promotes looks at the record after it has written the file: one sees the other.
            if version in in_use(store, fleet):
                change_state(store, record, marked, record.state)
                continue
            store.discard(version)
            removed.append(version)
    return removed
