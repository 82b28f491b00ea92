"""Commands that train: runs, recipes and their comparison, weights."""

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sortline.cli.options import AsJson, Recipe, print_json

if TYPE_CHECKING:
    from sortline.experiments.compare import Budget

PANEL = "Training"
app = typer.Typer()
weights = typer.Typer(help="Convert pretrained weights.", no_args_is_help=True)
app.add_typer(weights, name="weights", rich_help_panel=PANEL)


@app.command(rich_help_panel=PANEL)
def run(*, recipe: Recipe = None, as_json: AsJson = False) -> None:
    """Run the whole graph as a DVC experiment; its results are in runs/<recipe>/ afterwards."""
    from sortline.experiments.run import run_experiment
    from sortline.orchestration.params import check

    target = run_experiment(Path.cwd(), recipe, check).relative_to(Path.cwd())
    if as_json:
        print_json({"run": target})
    else:
        typer.echo(f"{target}/")


@app.command(rich_help_panel=PANEL)
def recipes(*, as_json: AsJson = False) -> None:
    """List the recipes: what each is, what was measured, and when to use which."""
    from rich.console import Console
    from rich.table import Table

    from sortline.experiments.records import WHEN, all_records, listed

    rows = listed(Path.cwd(), all_records(Path.cwd()))
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    columns = ("recipe", "what it is", "measured")
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 1, 0))
    for row in rows:
        table.add_row(row.name, row.about, row.cost)
    Console().print(table)
    for line in WHEN:
        typer.echo(f"- {line}")


@app.command(rich_help_panel=PANEL)
def compare(  # noqa: PLR0913 (a command line's options)
    recipes: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE...", help="Names of recipes; params means params.yaml as it is."
        ),
    ],
    *,
    seeds: Annotated[
        int, typer.Option(min=1, max=100, help="How many times each recipe runs.")
    ] = 1,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="The most epochs of each phase.")
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(min=32, max=1024, metavar="PX", help="The input size of every network."),
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(min=0.0, max=2.0, help="The width of every MobileNetV2.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Another dataset, as {train,val,test}/<class>/<image>."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="How many runs work side by side.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Run recipes on one dataset and one split; a page and a table say which is best, and why.

    Each run is a DVC experiment. What was run with the same recipe, seed, data and code is not run
    again, so a comparison that was stopped goes on. The others are compared with the first recipe.
    """
    from sortline.experiments.compare import Budget

    _compare(recipes, Budget(seeds, epochs, image_size, alpha), data, jobs, as_json)


def _compare(
    recipes: Sequence[str], budget: "Budget", data: Path | None, jobs: int, as_json: bool
) -> None:
    from sortline.core.dvc import read_pin
    from sortline.core.paths import Paths
    from sortline.experiments.compare import jobs_for, run_all, workspace_for
    from sortline.experiments.comparison_page import Setting, as_markdown, write_pages
    from sortline.experiments.records import FOLDER, Record
    from sortline.experiments.summary import summarise
    from sortline.orchestration.params import check
    from sortline.reporting.report import git_commit

    root = Path.cwd()
    os.environ.setdefault("SORTLINE_STATE_DIR", str(Paths(root).state.resolve()))
    place = root if data is None else workspace_for(root, data)
    todo = jobs_for(place, root, recipes, budget, jobs, check)
    say = partial(print, file=sys.stderr if as_json else sys.stdout, flush=True)
    say(f"{len(recipes)} recipes; {budget.described()}.")
    results = []
    for result in run_all(todo, jobs):
        name = f"{result.recipe}, seed {result.seed}"
        if isinstance(result, Record):
            say(f"{name}: {result.accuracy:.2%} of the test split, {result.seconds:,.0f} s")
        else:
            say(f"{name}: not measured: {result.reason}")
        results.append(result)
    summaries = summarise(recipes, results)
    data_md5 = read_pin(place / "data.dvc").digest
    setting = Setting(data_md5, git_commit(place) or "unknown", budget.described())
    target = write_pages(root / FOLDER / data_md5[:12], summaries, setting)
    page = (target / "comparison.html").relative_to(root)
    if as_json:
        runs = [run.model_dump() if isinstance(run, Record) else asdict(run) for run in results]
        print_json({"data": data_md5, "budget": budget.described(), "page": page, "runs": runs})
        return
    print(as_markdown(summaries, setting))
    typer.echo(f"The page: {page}")


@weights.command("convert")
def convert(
    source: Annotated[
        Path, typer.Argument(help="A published file: .safetensors, or Keras's own .h5.")
    ],
    target: Annotated[
        Path, typer.Argument(help="The .safetensors file to write, for backbone.weights.")
    ],
    *,
    architecture: Annotated[
        str, typer.Option(help="The backbone's name, as in backbone.architecture.")
    ] = "resnet18",
    alpha: Annotated[float, typer.Option(help="The width of a mobilenet_v2.")] = 1.0,
) -> None:
    """Turn a published checkpoint into the layout of this project's backbones."""
    from sortline.training.weights_convert import convert_named

    sha256 = convert_named(source, target, architecture, alpha)
    typer.echo(f"{target}  sha256 {sha256}")
