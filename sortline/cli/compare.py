"""The part of the `sortline` command that lists and compares recipes."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def compare(
    recipes: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE...",
            help="Names of files in recipes/, without .yaml; params: params.yaml alone.",
        ),
    ],
    *,
    seeds: Annotated[
        int, typer.Option(min=1, max=100, help="How many seeds each recipe is run with.")
    ] = 1,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="The most epochs of each phase. Default: the recipe's."),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            min=32,
            max=1024,
            metavar="PX",
            help="Width and height of every input. Default: the recipe's.",
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(min=0.0, max=2.0, help="Width of every MobileNetV2. Default: the recipe's."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The dataset, {train,val,test}/<class>/<image>. Default: data/."
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, max=64, help="How many runs work at the same time.")
    ] = 1,
) -> None:
    """Run recipes on one dataset and one split; a page and a table say which is best, and why.

    Each run is a DVC experiment. What was run with the same recipe, seed, data and code is not run
    again: a comparison that was stopped goes on. The first recipe is what the others are held
    against.
    """
    from sortline.cli.compare_command import compare as run
    from sortline.experiments.budget import Budget

    root = Path.cwd()
    target = run(root, recipes, Budget(seeds, epochs, image_size, alpha), data, jobs)
    typer.echo(f"The page: {(target / 'comparison.html').relative_to(root)}")


@app.command("recipes")
def list_recipes() -> None:
    """List the recipes: a line each, what was measured of them, and when to use which."""
    from rich.console import Console
    from rich.table import Table

    from sortline.experiments.recipes import WHEN, listed
    from sortline.experiments.records import all_records

    table = Table(
        "recipe", "what it is", "measured", box=None, pad_edge=False, padding=(0, 2, 1, 0)
    )
    for each in listed(Path.cwd(), all_records(Path.cwd())):
        table.add_row(each.name, each.about, each.cost)
    Console().print(table)
    for line in WHEN:
        typer.echo(f"- {line}")
