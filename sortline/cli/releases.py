"""The commands on releases: what they take; commands.py does it."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

StoreAddress = Annotated[
    str,
    typer.Argument(metavar="STORE", help="The store of releases: a folder, or s3://bucket/prefix."),
]
Endpoints = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoints",
        "--endpoint",
        metavar="HOST:PORT",
        help="Model servers (gRPC), separated by commas or by repeating the option.",
    ),
]
BasePath = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="STORE as the servers see it. Default: promote.base_path of params.yaml.",
    ),
]
Authority = Annotated[
    Path | None,
    typer.Option(
        "--ca", metavar="FILE", help="PEM file of the CA that signed the server's certificate."
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="PEM file of your certificate, if the server asks for one."),
]
Key = Annotated[
    Path | None, typer.Option(metavar="FILE", help="PEM file of the key of --certificate.")
]


@app.command()
def publish(
    store: StoreAddress,
    *,
    root: Annotated[
        Path, typer.Option(help="The run to publish: this folder, or runs/NAME.")
    ] = Path(),
    override: Annotated[
        bool, typer.Option("--override", help="Publish without a blessing; needs --reason.")
    ] = False,
    reason: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Why the blessing is overridden; it is recorded with the version."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Copy the validated version into a store, as the next number, whole or not at all.

    Exit code: 0 published, or there already; 2 the store failed and nothing is there; 3 refused.
    """
    from sortline.cli.releases_commands import publish_command

    publish_command(store, root, override=override, reason=reason, as_json=as_json)


@app.command()
def promote(  # noqa: PLR0913
    version: Annotated[str, typer.Argument(help="The number of a published version.")],
    store: StoreAddress,
    *,
    endpoints: Endpoints = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="A server's Prometheus page, to watch during the soak."),
    ] = None,
    base_path: BasePath = None,
    ca: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
) -> None:
    """Make a version canary, then stable, in the model config file and on every server.

    Without --endpoints only the file is written, for servers that poll it.

    Exit code: 0 stable; 2 a server or the store failed; 3 the version is refused. What fails is put
    back.
    """
    from sortline.cli.releases_commands import Servers, promote_command

    servers = Servers(endpoints or (), (ca, certificate, key), base_path)
    promote_command(version, store, servers, metrics or ())


@app.command()
def rollback(
    store: StoreAddress,
    *,
    endpoints: Endpoints = None,
    base_path: BasePath = None,
    ca: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
) -> None:
    """Give stable back to the version that had it before."""
    from sortline.cli.releases_commands import Servers, rollback_command

    rollback_command(store, Servers(endpoints or (), (ca, certificate, key), base_path))


@app.command()
def releases(  # noqa: PLR0913
    store: StoreAddress,
    *,
    endpoints: Endpoints = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove old versions first, then show.")
    ] = False,
    keep: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many of the newest stay. Default: publish.keep of params.yaml."
        ),
    ] = None,
    ca: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
) -> None:
    """Show the versions of a store: labels, states, figures, and where they come from.

    Pruning leaves what is served or has a label, and what a rollback would bring back.
    """
    from sortline.cli.releases_commands import Servers, releases_command

    servers = Servers(endpoints or (), (ca, certificate, key))
    releases_command(store, servers, as_json=as_json, pruning=prune, keep=keep)
