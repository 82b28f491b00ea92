"""Commands on the feature cache: what is kept, what it saved, how machines share it."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sortline.cli.options import AsJson, Recipe, print_json

if TYPE_CHECKING:
    from sortline.training.feature_cache import SpaceSummary

app = typer.Typer()
cache = typer.Typer(help="Show, fill, share or clear the cache of computed features.")
app.add_typer(cache, name="cache", rich_help_panel="Training")

Address = Annotated[str, typer.Argument(help="A folder, or an address such as s3://bucket/prefix.")]


def _folder() -> Path:
    from sortline.core.paths import Paths

    return Paths(Path.cwd()).features


@cache.callback(invoke_without_command=True)
def show(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show what is in the feature cache, and what it saved."""
    if context.invoked_subcommand is not None:
        return
    from sortline.training.feature_cache import summarize, uses

    folder = _folder()
    spaces = summarize(folder)
    totals = {
        name: sum(use[name] for use in uses(folder))
        for name in ("found", "computed", "seconds", "saved_s")
    }
    if as_json:
        print_json({"folder": folder, "spaces": [asdict(space) for space in spaces], **totals})
        return
    if not spaces:
        typer.echo(f"{folder} is empty. It fills with the first `sortline run`.")
        return
    _print_table(spaces)
    from sortline.core.settings import read_settings

    size = sum(space.size_bytes for space in spaces)
    typer.echo(
        f"{size / 1e9:.2f} GB of {read_settings().cache_gb:g} (SORTLINE_CACHE_GB)."
        f" {totals['computed']:,.0f} rows were computed in {_duration(totals['seconds'])};"
        f" {totals['found']:,.0f} were found, which saved {_duration(totals['saved_s'])}."
    )


def _print_table(spaces: "Sequence[SpaceSummary]") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table("network", "cut", "storage", "engine", box=SIMPLE_HEAD)
    for name in ("shards", "MB", "last used"):
        table.add_column(name, justify="right")
    for space in spaces:
        identity = space.identity
        network = "unknown: space.json is damaged"
        if identity:
            network = (
                f"{identity['architecture']} {identity['alpha']} at {identity['image_size_px']} px,"
                f" weights {str(identity['weights'])[:8]}"
            )
        table.add_row(
            network,
            *(identity.get(name, "") for name in ("cut", "storage", "engine")),
            f"{space.shards:,}",
            f"{space.size_bytes / 1e6:,.1f}",
            f"{datetime.fromtimestamp(space.used):%Y-%m-%d %H:%M}",
        )
    Console().print(table)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@cache.command()
def fill(
    *,
    part: Annotated[
        str, typer.Option(help="Which part of the work, as I/N: the I-th of N parts, from 1.")
    ] = "1/1",
    recipe: Recipe = None,
) -> None:
    """Compute features before training asks for them; several machines can share the work.

    Run `dvc repro augment` first: it writes the manifest and the views that are read here.
    """
    from sortline.core.errors import ParamsError
    from sortline.core.paths import Paths
    from sortline.orchestration.params import load
    from sortline.training.extraction import fill_cache

    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", part)
    if not match or int(match[1]) > int(match[2]):
        raise ParamsError(f"--part is {part!r}: give I/N with I from 1 to N, such as 2/4.")
    root = Path.cwd()
    params = load(root, recipe)
    computed = fill_cache(params, Paths(root), int(match[1]) - 1, int(match[2]))
    typer.echo(f"{computed:,} features computed; the others were there.")


@cache.command()
def push(uri: Address) -> None:
    """Copy features to a place from which others can pull them."""
    from sortline.training.feature_exchange import push

    typer.echo(f"{push(_folder(), uri)} shards copied to {uri}")


@cache.command()
def pull(uri: Address) -> None:
    """Copy features that were computed elsewhere into this cache."""
    from sortline.training.feature_exchange import pull

    typer.echo(f"{pull(_folder(), uri)} shards copied from {uri}")


@cache.command()
def clear() -> None:
    """Remove all features; the next run computes them again."""
    from sortline.training.feature_cache import clear

    clear(_folder())
