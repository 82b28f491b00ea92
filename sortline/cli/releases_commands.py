"""The commands on releases: they open the store and the channels, know the time, and print."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from sortline.client.rpc import Tls
from sortline.core.errors import ParamsError
from sortline.core.interrupts import Interrupts
from sortline.core.params import Params, load_params
from sortline.core.paths import Paths
from sortline.releases import promote, rollback
from sortline.releases.endpoints import open_replicas
from sortline.releases.lineage import publisher
from sortline.releases.open_store import open_store
from sortline.releases.prune import prune
from sortline.releases.publish import publish_to
from sortline.releases.rollout import Fleet
from sortline.releases.store import Limits, Store, parse_version
from sortline.releases.table import read_releases, table, warnings


@dataclass(frozen=True)
class Servers:
    """The servers that a command was given.

    Attributes:
        endpoints: as typed: `HOST:PORT`, several of them with commas between, or several times.
        files: certificate authority, certificate and key, for TLS.
        base_path: the store as they see it.
    """

    endpoints: Sequence[str] = ()
    files: tuple[Path | None, Path | None, Path | None] = (None, None, None)
    base_path: str | None = None

    def targets(self) -> list[str]:
        """Each server once, in the order given."""
        listed = (part.strip() for each in self.endpoints for part in each.split(","))
        return list(dict.fromkeys(part for part in listed if part))

    def tls(self) -> Tls | None:
        """None without any file."""
        return Tls(*self.files) if any(self.files) else None


def _say(line: str) -> None:
    print(f"sortline: {line}", file=sys.stderr, flush=True)


def _params() -> Params:
    return load_params(Path.cwd() / "params.yaml")


@contextmanager
def _opened(address: str, servers: Servers, params: Params) -> Iterator[tuple[Store, Fleet]]:
    limits = Limits(params.publish.timeout_s, params.publish.attempts)
    with (
        open_store(address, limits) as store,
        open_replicas(servers.targets(), servers.tls()) as replicas,
    ):
        yield store, Fleet(replicas, params.promote, _say)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """A SIGTERM is cleaned up after as Ctrl-C is, and a second signal does not disturb that."""
    with Interrupts() as interrupts:
        interrupts.let_through()
        yield


def publish_command(
    address: str, root: Path, *, override: bool, reason: str | None, as_json: bool
) -> None:
    """`sortline publish`.

    Raises:
        ParamsError: an override without a reason, or a reason without an override.
    """
    if override and not (reason and reason.strip()):
        raise ParamsError("--override wants --reason TEXT: it is recorded with the version.")
    if reason and not override:
        raise ParamsError("--reason would be ignored without --override.")
    settings = _params().publish
    with _ended_in_order():
        done = publish_to(address, Paths(root), settings, datetime.now(UTC), reason)
    for warning in done.lineage.warnings:
        _say(f"warning: {warning}")
    where = address.rstrip("/")
    if as_json:
        print(json.dumps({"store": where, "version": done.version, "new": done.is_new}))
        return
    word = "published" if done.is_new else "the same content is there already"
    print(f"{where}/{done.version}: {word}")


def promote_command(version: str, address: str, servers: Servers, pages: Sequence[str]) -> None:
    """`sortline promote`."""
    params = _params()
    request = promote.Request(
        version=parse_version(version),
        base_path=servers.base_path or params.promote.base_path,
        pages=pages,
        now=datetime.now(UTC),
        by=publisher(Path.cwd()),
    )
    with _opened(address, servers, params) as (store, fleet), _ended_in_order():
        if pages and not fleet.replicas:
            raise ParamsError("--metrics would be ignored without --endpoints.")
        promote.promote(store, fleet, request)
    print(f"{address.rstrip('/')}/{request.version}: stable")


def rollback_command(address: str, servers: Servers) -> None:
    """`sortline rollback`."""
    params = _params()
    base_path = servers.base_path or params.promote.base_path
    with _opened(address, servers, params) as (store, fleet), _ended_in_order():
        before, after = rollback.rollback(
            store, fleet, base_path, datetime.now(UTC), publisher(Path.cwd())
        )
    print(f"{address.rstrip('/')}/{after}: stable (it was {before})")


def releases_command(
    address: str, servers: Servers, *, as_json: bool, pruning: bool, keep: int | None
) -> None:
    """`sortline releases`."""
    params = _params()
    if keep is not None and not pruning:
        raise ParamsError("--keep would be ignored without --prune.")
    with _opened(address, servers, params) as (store, fleet):
        if pruning:
            removed = prune(store, fleet, params.publish.keep if keep is None else keep)
            _say(f"pruned: {', '.join(map(str, removed)) or 'nothing'}")
        found = read_releases(store, fleet)
    if as_json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
        return
    print(found.store)
    Console().print(table(found, len(servers.targets())))
    for line in [*warnings(found), *found.unreachable.values()]:
        _say(line)
