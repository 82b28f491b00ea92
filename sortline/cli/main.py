"""The `sortline` command. Each command imports what it needs when it runs: `--help` stays fast."""

import re
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from sortline import __version__
from sortline.cli.compare import app as comparison_app
from sortline.cli.predict import app as predict_app
from sortline.cli.retraining import app as orchestration_app
from sortline.cli.serve import app as serving_app
from sortline.core.entry import exit_code_of
from sortline.core.quiet import quiet_libraries

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"sortline {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Retrain, gate and serve an image classifier."""


DataFolder = Annotated[Path, typer.Option("--data", help="The dataset's folder.")]


@app.command()
def ingest(
    source: Annotated[
        str, typer.Argument(help="Images: a folder, a zip or tar of one, or s3://...")
    ],
    *,
    add: Annotated[bool, typer.Option("--add", help="Add to the dataset that is there.")] = False,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the split. Default: the one in params.yaml.")
    ] = None,
    data: DataFolder = Path("data"),
) -> None:
    """Check, deduplicate and split your own images, <class>/<image>, into a dataset."""
    from sortline.dataset.ingest import command

    command(source, data, add=add, seed=seed)


@app.command()
def run(
    *,
    recipe: Annotated[
        str | None, typer.Option(help="Lay recipes/NAME.yaml over params.yaml.")
    ] = None,
) -> None:
    """Run the whole graph as a DVC experiment, and keep its results in runs/<recipe>/."""
    from sortline.experiments.run import run_experiment

    target = run_experiment(Path.cwd(), recipe)
    typer.echo(f"{target.relative_to(Path.cwd())}/")


@app.command()
def settings(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False
) -> None:
    """Print every SORTLINE_... variable with its value here and what it is for.

    A value that is a secret is masked; so is a password in an address.
    """
    import json

    from rich.console import Console
    from rich.table import Table

    from sortline.core.settings import Settings, read_settings, shown, variable

    values = read_settings()
    rows = [
        (variable(name), shown(getattr(values, name)), name in values.model_fields_set, field)
        for name, field in Settings.model_fields.items()
    ]
    if as_json:
        facts = {
            name: {"value": value, "is_set": is_set, "description": field.description}
            for name, value, is_set, field in rows
        }
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    table = Table("variable", "value here", "what it is for", box=None, pad_edge=False)
    for name, value, is_set, field in rows:
        table.add_row(name, value if is_set else f"[dim]{value}[/dim]", field.description)
    Console().print(table)


@app.command()
def report(
    *,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    root: Annotated[
        Path, typer.Option(help="The run to report on: this folder, or runs/NAME.")
    ] = Path(),
) -> None:
    """Write one self-contained HTML page: verdicts, numbers, curves, mistakes, data, lineage."""
    from sortline.reporting.report import build_report

    typer.echo(build_report(root, out))


@app.command()
def gate(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 3 if the gates refused the model.")
    ] = False,
) -> None:
    """Show the verdict of every gate on the exported model."""
    from sortline.core.paths import Paths
    from sortline.evaluation.blessing import command

    command(Paths(Path.cwd()), check=check)


champion_app = typer.Typer(
    help="Choose or show the model that a candidate has to beat.", no_args_is_help=True
)
app.add_typer(champion_app, name="champion")


@champion_app.command("use")
def champion_use(
    uri: Annotated[
        str,
        typer.Argument(
            help="A SavedModel: a folder, a release's version or s3://...; none: no champion."
        ),
    ],
) -> None:
    """Verify a model, and make it the champion."""
    from sortline.core.paths import Paths
    from sortline.evaluation.replace_champion import use_command

    use_command(uri, Paths(Path.cwd()))


@champion_app.command("show")
def champion_show() -> None:
    """Show which model is the champion."""
    from sortline.core.paths import Paths
    from sortline.evaluation.replace_champion import show_command

    show_command(Paths(Path.cwd()))


cache_app = typer.Typer(help="Show, fill, share or clear the cache of computed features.")
app.add_typer(cache_app, name="cache")

CacheUri = Annotated[str, typer.Argument(help="The shared place: a folder, or s3://bucket/prefix.")]


def _cache() -> Path:
    from sortline.core.paths import Paths

    return Paths(Path.cwd()).features


@cache_app.callback(invoke_without_command=True)
def cache(context: typer.Context) -> None:
    """Show what is in the feature cache, and what it saved."""
    if context.invoked_subcommand is None:
        from sortline.cli.cache import show

        show(_cache())


@cache_app.command("fill")
def cache_fill(
    *,
    part: Annotated[
        str, typer.Option(help="Which part to compute: I/N is the I-th of N, counted from 1.")
    ] = "1/1",
    recipe: Annotated[
        str | None, typer.Option(help="Lay recipes/NAME.yaml over params.yaml.")
    ] = None,
) -> None:
    """Compute features before training asks for them; several machines can share the work.

    Reads artifacts/manifest.parquet and artifacts/views.parquet: run `dvc repro augment` first.
    """
    from sortline.core.errors import ParamsError
    from sortline.core.paths import Paths
    from sortline.experiments.run import load_with_recipe
    from sortline.training.extraction import fill_cache

    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", part)
    if not match or int(match[1]) > int(match[2]):
        raise ParamsError(f"--part is {part!r}: give I/N with I from 1 to N, such as 2/4.")
    root = Path.cwd()
    params = load_with_recipe(root, recipe)
    computed = fill_cache(params, Paths(root), int(match[1]) - 1, int(match[2]))
    typer.echo(f"{computed:,} features computed; the others were there.")


@cache_app.command("push")
def cache_push(uri: CacheUri) -> None:
    """Copy the features of this machine to a place that others can pull from."""
    from sortline.training.feature_exchange import push

    typer.echo(f"{push(_cache(), uri)} shards copied to {uri}")


@cache_app.command("pull")
def cache_pull(uri: CacheUri) -> None:
    """Copy features that other machines computed to this one."""
    from sortline.training.feature_exchange import pull

    typer.echo(f"{pull(_cache(), uri)} shards copied from {uri}")


@cache_app.command("clear")
def cache_clear() -> None:
    """Remove all features; the next run computes them again."""
    from sortline.training.feature_cache import clear

    clear(_cache())


app.add_typer(comparison_app)
weights_app = typer.Typer(help="Convert pretrained weights.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")


@weights_app.command("convert")
def weights_convert(
    source: Annotated[
        Path, typer.Argument(help="The published checkpoint: .safetensors, or Keras's .h5.")
    ],
    target: Annotated[
        Path, typer.Argument(help="The file to write, for backbone.weights: *.safetensors.")
    ],
    *,
    architecture: Annotated[
        str, typer.Option(help="The network, as in backbone.architecture.")
    ] = "resnet18",
    alpha: Annotated[
        float, typer.Option(help="Width of mobilenet_v2, as in backbone.alpha.")
    ] = 1.0,
) -> None:
    """Turn a published checkpoint into the layout of this project's backbones."""
    from sortline.training.weights_convert import convert_named

    sha256 = convert_named(source, target, architecture, alpha)
    typer.echo(f"{target}  sha256 {sha256}")


app.add_typer(predict_app)
app.add_typer(serving_app)
app.add_typer(orchestration_app)


# What packages bring: ours of the drawn datasets is one of them.
for _entry in entry_points(group="sortline.commands"):
    app.add_typer(_entry.load())


def main() -> None:
    """Run the command line; every refusal of ours is one message and its exit code."""
    quiet_libraries()
    sys.exit(exit_code_of(lambda: app(standalone_mode=True)))


if __name__ == "__main__":
    main()
