"""The `sortline` command. Each command imports what it needs when it runs: `--help` stays fast."""

import difflib
import os
import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer

from sortline.cli import airflow, cache, data, model, monitor, release, train
from sortline.cli.options import AsJson, print_json
from sortline.core.entry import exit_code_of
from sortline.core.quiet import quiet_libraries

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(value: bool) -> None:
    if value:
        from sortline import __version__

        typer.echo(f"sortline {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Retrain, gate and serve an image classifier."""


installation = typer.Typer()


@installation.command(rich_help_panel="This installation")
def settings(*, as_json: AsJson = False) -> None:
    """Show every SORTLINE_* variable: its value now, and what it is for.

    Secrets are masked. A variable that nothing reads, which may be misspelled, is named at the end.
    """
    from rich.console import Console
    from rich.table import Table

    from sortline.core.settings import PREFIX, described

    rows = described()
    if as_json:
        print_json(rows)
        return
    table = Table("variable", "value", "what it is for", box=None, pad_edge=False)
    for name, row in rows.items():
        value = row["value"] if row["is_set"] else f"[dim]{row['value']}[/dim]"
        table.add_row(name, value, row["description"])
    Console().print(table)
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in rows:
            nearest = difflib.get_close_matches(name, rows, n=1)
            meant = f" Did you mean {nearest[0]}?" if nearest else ""
            typer.echo(f"{name} is set, and nothing reads it.{meant}", err=True)


for _commands in (data.app, train.app, cache.app, model.app, release.app, monitor.app, airflow.app):
    app.add_typer(_commands)
app.add_typer(installation)
# Packages add commands by this entry point; our own dataset of drawings is one of them.
for _entry in entry_points(group="sortline.commands"):
    app.add_typer(_entry.load())


def main() -> None:
    """Run the command line; every refusal of ours is one message and its exit code."""
    quiet_libraries()
    sys.exit(exit_code_of(lambda: app(standalone_mode=True)))


if __name__ == "__main__":
    main()
