"""Commands on releases: publish, promote, roll back, list."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sortline.cli.options import (
    SERVER_PANEL,
    AsJson,
    Authority,
    Certificate,
    Key,
    RunFolder,
    print_json,
)

if TYPE_CHECKING:
    from sortline.releases.rollout import Fleet
    from sortline.releases.settings import ReleaseParams
    from sortline.releases.store import Store

PANEL = "Releases"
app = typer.Typer()

StoreAddress = Annotated[
    str,
    typer.Argument(
        metavar="STORE",
        help="The store of releases: a folder, or an address such as s3://bucket/prefix.",
    ),
]
Endpoints = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoints",
        "--endpoint",
        metavar="HOST:PORT",
        help="The gRPC addresses of the model servers, with commas between or one each time.",
        rich_help_panel=SERVER_PANEL,
    ),
]
BasePath = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="STORE as the servers see it. Default: promote.base_path of params.yaml.",
        rich_help_panel=SERVER_PANEL,
    ),
]


@dataclass(frozen=True)
class Servers:
    """The servers that a command was given.

    Attributes:
        endpoints: as typed: `HOST:PORT`, several of them with commas between, or several times.
        files: certificate authority, certificate and key, for TLS.
    """

    endpoints: Sequence[str]
    files: tuple[Path | None, Path | None, Path | None]

    def targets(self) -> list[str]:
        """Each server once, in the order given."""
        listed = (part.strip() for typed in self.endpoints for part in typed.split(","))
        return list(dict.fromkeys(part for part in listed if part))


def _say(line: str) -> None:
    print(f"sortline: {line}", file=sys.stderr, flush=True)


def _params() -> "ReleaseParams":
    from sortline.core.params import load_params
    from sortline.releases.settings import ReleaseParams

    return load_params(ReleaseParams, Path.cwd() / "params.yaml")


@contextmanager
def _opened(
    address: str, servers: Servers, params: "ReleaseParams"
) -> Iterator[tuple["Store", "Fleet"]]:
    from sortline.client.rpc import Tls
    from sortline.core.storage import Limits
    from sortline.releases.replicas import open_replicas
    from sortline.releases.rollout import Fleet
    from sortline.releases.store import open_store

    limits = Limits(params.publish.timeout_s, params.publish.attempts)
    tls = Tls(*servers.files) if any(servers.files) else None
    with open_store(address, limits) as store, open_replicas(servers.targets(), tls) as replicas:
        yield store, Fleet(replicas, params.promote, _say)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """A SIGTERM is cleaned up after as Ctrl-C is, and a second signal does not disturb that."""
    from sortline.core.interrupts import Interrupts

    with Interrupts() as interrupts:
        interrupts.let_through()
        yield


@app.command(rich_help_panel=PANEL)
def publish(
    store: StoreAddress,
    *,
    root: RunFolder = Path(),
    override: Annotated[
        bool,
        typer.Option("--override", help="Publish also without a blessing; --reason is required."),
    ] = False,
    reason: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Why; it is recorded with the version."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy the validated version into a store, as the next number, whole or not at all.

    Exit code: 0 published, or there already; 2 the store failed and nothing is there; 3 refused.
    """
    from sortline.core.errors import ParamsError
    from sortline.core.paths import Paths
    from sortline.releases.publish import publish_to

    if override and not (reason and reason.strip()):
        raise ParamsError("--override wants --reason TEXT: it is recorded with the version.")
    if reason and not override:
        raise ParamsError("--reason would be ignored without --override.")
    settings = _params().publish
    with _ended_in_order():
        done = publish_to(store, Paths(root), settings, datetime.now(UTC), reason)
    for warning in done.lineage.warnings:
        _say(f"warning: {warning}")
    address = store.rstrip("/")
    if as_json:
        print_json({"store": address, "version": done.version, "new": done.is_new})
        return
    word = "published" if done.is_new else "the same content is there already"
    print(f"{address}/{done.version}: {word}")


@app.command(rich_help_panel=PANEL)
def promote(  # noqa: PLR0913
    version: Annotated[str, typer.Argument(help="The number of a published version.")],
    store: StoreAddress,
    *,
    endpoints: Endpoints = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="The Prometheus page of a server, which is watched in the soak.",
            rich_help_panel=SERVER_PANEL,
        ),
    ] = None,
    base_path: BasePath = None,
    ca: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Make a version canary, then stable, in the model config file and on every server.

    Without --endpoints only the file is written, for servers that poll it.

    Exit code: 0 stable; 2 a server or the store failed; 3 the version is refused. What fails is put
    back.
    """
    from sortline.core.errors import ParamsError
    from sortline.releases.promote import Request, promote
    from sortline.releases.records import publisher
    from sortline.releases.store import parse_version

    params = _params()
    request = Request(
        version=parse_version(version),
        base_path=base_path or params.promote.base_path,
        pages=metrics or (),
        now=datetime.now(UTC),
        by=publisher(Path.cwd()),
    )
    servers = Servers(endpoints or (), (ca, certificate, key))
    with _opened(store, servers, params) as (opened, fleet), _ended_in_order():
        if request.pages and not fleet.replicas:
            raise ParamsError("--metrics would be ignored without --endpoints.")
        promote(opened, fleet, request)
    address = store.rstrip("/")
    if as_json:
        print_json({"store": address, "stable": request.version})
    else:
        print(f"{address}/{request.version}: stable")


@app.command(rich_help_panel=PANEL)
def rollback(
    store: StoreAddress,
    *,
    endpoints: Endpoints = None,
    base_path: BasePath = None,
    ca: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Give stable back to the version that had it before."""
    from sortline.releases.records import publisher
    from sortline.releases.rollback import rollback

    params = _params()
    base_path = base_path or params.promote.base_path
    servers = Servers(endpoints or (), (ca, certificate, key))
    with _opened(store, servers, params) as (opened, fleet), _ended_in_order():
        before, after = rollback(opened, fleet, base_path, datetime.now(UTC), publisher(Path.cwd()))
    address = store.rstrip("/")
    if as_json:
        print_json({"store": address, "stable": after, "before": before})
    else:
        print(f"{address}/{after}: stable (it was {before})")


@app.command(rich_help_panel=PANEL)
def releases(  # noqa: PLR0913
    store: StoreAddress,
    *,
    endpoints: Endpoints = None,
    as_json: AsJson = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove old versions first.")] = False,
    keep: Annotated[
        int | None,
        typer.Option(min=1, help="How many of the newest versions stay. Default: params.yaml."),
    ] = None,
    ca: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
) -> None:
    """Show the versions of a store: labels, states, figures, and where they come from.

    Pruning leaves what is served or has a label, and what a rollback would bring back.
    """
    from rich.console import Console

    from sortline.core.errors import ParamsError
    from sortline.releases.versions import prune as remove_old
    from sortline.releases.versions import read_releases, table, warnings

    params = _params()
    if keep is not None and not prune:
        raise ParamsError("--keep would be ignored without --prune.")
    servers = Servers(endpoints or (), (ca, certificate, key))
    with _opened(store, servers, params) as (opened, fleet):
        if prune:
            removed = remove_old(opened, fleet, params.publish.keep if keep is None else keep)
            _say(f"pruned: {', '.join(map(str, removed)) or 'nothing'}")
        listing = read_releases(opened, fleet)
    if as_json:
        print_json(listing.to_json())
        return
    print(listing.store)
    Console().print(table(listing, len(servers.targets())))
    for line in [*warnings(listing), *listing.unreachable.values()]:
        _say(line)
