"""Old versions go; never one that is served, or that a rollback would bring back."""

from sortline.core.errors import RefusedError
from sortline.releases.history import read_history, stables
from sortline.releases.model_config import (
    Served,
    has_model,
    labels_in,
    parse_config,
    served_by,
)
from sortline.releases.records import change_state, published_versions, read_records
from sortline.releases.rollout import Fleet
from sortline.releases.store import CONFIG, Store


def _served(store: Store, model: str) -> Served:
    """What the config file names.

    Raises:
        RefusedError: it names the model and not which versions: any may be loaded.
    """
    found = store.read(CONFIG)
    config = parse_config(found.data if found else b"", f"{store.address}/{CONFIG}")
    served = served_by(config, model)
    if served is None and has_model(config, model):
        raise RefusedError(
            f"{store.address}/{CONFIG} does not say which versions of {model} are served: none was"
            " pruned. Promote one first."
        )
    return served or Served(labels=labels_in(config, model))


def in_use(store: Store, fleet: Fleet) -> frozenset[int]:
    """Versions that are served, have a label, or are what a rollback would go to.

    Raises:
        RefusedError: it cannot be told from the config file.
        ServingError: a replica cannot be asked.
    """
    served = _served(store, fleet.model)
    found = served.versions | set(served.labels.values()) | fleet.serving()
    if served.stable is not None:
        found |= set(stables(read_history(store), served.stable)[-2:])
    return found


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
