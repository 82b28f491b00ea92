"""The `sortline` command. Each command imports what it needs when it runs: `--help` stays fast."""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline_steps.comparison.cli import app as comparison_app
from pipeline_steps.entry import exit_code_of
from pipeline_steps.orchestration.cli import app as orchestration_app
from pipeline_steps.serving.cli import app as serving_app
from pipeline_steps.serving.predict_cli import app as predict_app

app = typer.Typer(
    help="Retrain, gate and serve an image classifier.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


DataFolder = Annotated[Path, typer.Option("--data", help="The dataset's folder.")]


@app.command()
def ingest(
    source: Annotated[str, typer.Argument(help="A folder, a zip or tar of one, or s3://...")],
    *,
    add: Annotated[bool, typer.Option("--add", help="Add to the dataset that is there.")] = False,
    seed: Annotated[int | None, typer.Option(help="Of the split; params.yaml's if absent.")] = None,
    data: DataFolder = Path("data"),
) -> None:
    """Check, deduplicate and split your own images, <class>/<image>, into a dataset."""
    from pipeline_steps.images.ingest import command

    command(source, data, add=add, seed=seed)


@app.command()
def generate(
    *,
    seed: Annotated[int | None, typer.Option(help="The pinned dataset's if absent.")] = None,
    problem: Annotated[
        str, typer.Option(help="waste, birds30, birds400, xray2 or digits.")
    ] = "waste",
    data: DataFolder = Path("data"),
) -> None:
    """Draw the reference dataset (ten classes, 19,723 pictures), or another problem's."""
    from pipeline_steps.images.generated import REFERENCE_SEED
    from pipeline_steps.images.generated import generate as draw

    summary = draw(data, seed=REFERENCE_SEED if seed is None else seed, problem=problem)
    typer.echo(f"{summary.images:,} pictures, {summary.total_bytes / 1e6:.0f} MB, are in {data}.")
    typer.echo(f"Next: dvc add {data}, then sortline run")


@app.command()
def run(
    *,
    recipe: Annotated[str | None, typer.Option(help="recipes/NAME.yaml, over params.yaml.")] = None,
) -> None:
    """Run the whole graph as a DVC experiment; what it made ends in runs/<recipe>/."""
    from pipeline_steps.experiment import run_experiment

    target = run_experiment(Path.cwd(), recipe)
    typer.echo(f"{target.relative_to(Path.cwd())}/")


@app.command()
def report(
    *,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    root: Annotated[Path, typer.Option(help="What to report on: here, or runs/NAME.")] = Path(),
) -> None:
    """Gather one self-contained HTML page: verdicts, numbers, curves, mistakes, data, lineage."""
    from pipeline_steps.reporting.report import build_report

    typer.echo(build_report(root, out))


@app.command()
def gate(
    *,
    check: Annotated[bool, typer.Option("--check", help="Exit 3 if the model is refused.")] = False,
) -> None:
    """Show what the gates say of the exported model."""
    from pipeline_steps.artifacts import Paths
    from pipeline_steps.serving.champions.blessing import command

    command(Paths(Path.cwd()), check=check)


champion_app = typer.Typer(help="The model that a candidate has to beat.", no_args_is_help=True)
app.add_typer(champion_app, name="champion")


@champion_app.command("use")
def champion_use(
    uri: Annotated[
        str, typer.Argument(help="A SavedModel: a folder, a release's version, s3://...; or none.")
    ],
) -> None:
    """Verify a model, and make it the champion."""
    from pipeline_steps.artifacts import Paths
    from pipeline_steps.serving.champions.use import use_command

    use_command(uri, Paths(Path.cwd()))


@champion_app.command("show")
def champion_show() -> None:
    """Say which model the champion is."""
    from pipeline_steps.artifacts import Paths
    from pipeline_steps.serving.champions.use import show_command

    show_command(Paths(Path.cwd()))


cache_app = typer.Typer(help="Features that were computed, and are not again.")
app.add_typer(cache_app, name="cache")

CacheUri = Annotated[str, typer.Argument(help="A folder, or s3://bucket/prefix.")]


def _cache() -> Path:
    from pipeline_steps.artifacts import Paths

    return Paths(Path.cwd()).features


@cache_app.callback(invoke_without_command=True)
def cache(context: typer.Context) -> None:
    """Show what is in the feature cache, and what it saved."""
    if context.invoked_subcommand is None:
        from pipeline_steps.models.cache_command import show

        show(_cache())


@cache_app.command("fill")
def cache_fill(
    *,
    part: Annotated[str, typer.Option(help="I/N: the I-th of N parts, from 1.")] = "1/1",
    recipe: Annotated[str | None, typer.Option(help="recipes/NAME.yaml, over params.yaml.")] = None,
) -> None:
    """Compute features before training asks for them; several machines can share the work.

    Reads artifacts/manifest.parquet and artifacts/views.parquet: run `dvc repro augment` first.
    """
    from pipeline_steps.artifacts import Paths
    from pipeline_steps.errors import ParamsError
    from pipeline_steps.experiment import load_with_recipe
    from pipeline_steps.train_phase1 import fill_cache

    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", part)
    if not match or int(match[1]) > int(match[2]):
        raise ParamsError(f"--part is {part!r}: give I/N with I from 1 to N, such as 2/4.")
    root = Path.cwd()
    params = load_with_recipe(root, recipe)
    computed = fill_cache(params, Paths(root), int(match[1]) - 1, int(match[2]))
    typer.echo(f"{computed:,} features computed; the others were there.")


@cache_app.command("push")
def cache_push(uri: CacheUri) -> None:
    """Copy features to a place that others can pull from."""
    from pipeline_steps.models.feature_exchange import push

    typer.echo(f"{push(_cache(), uri)} shards copied to {uri}")


@cache_app.command("pull")
def cache_pull(uri: CacheUri) -> None:
    """Copy features that were computed elsewhere."""
    from pipeline_steps.models.feature_exchange import pull

    typer.echo(f"{pull(_cache(), uri)} shards copied from {uri}")


@cache_app.command("clear")
def cache_clear() -> None:
    """Remove all features; the next run computes them again."""
    from pipeline_steps.models.feature_cache import clear

    clear(_cache())


app.add_typer(comparison_app)
weights_app = typer.Typer(help="Pretrained weights.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")


@weights_app.command("convert")
def weights_convert(
    source: Annotated[Path, typer.Argument(help="A published file: .safetensors, or Keras's .h5.")],
    target: Annotated[Path, typer.Argument(help="What backbone.weights will name: *.safetensors.")],
    *,
    architecture: Annotated[str, typer.Option(help="Of backbone.architecture.")] = "resnet18",
    alpha: Annotated[float, typer.Option(help="Width, of mobilenet_v2.")] = 1.0,
) -> None:
    """Turn a published checkpoint into the layout of this project's backbones."""
    from pipeline_steps.models.weights_convert import convert_named

    sha256 = convert_named(source, target, architecture, alpha)
    typer.echo(f"{target}  sha256 {sha256}")


app.add_typer(predict_app)
app.add_typer(serving_app)
app.add_typer(orchestration_app)


def main() -> None:
    """Run the command line; every refusal of ours is one message and its exit code."""
    sys.exit(exit_code_of(lambda: app(standalone_mode=True)))


if __name__ == "__main__":
    main()
