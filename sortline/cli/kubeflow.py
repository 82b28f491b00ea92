"""The part of the `sortline` command that makes a Kubeflow pipeline."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
kubeflow_app = typer.Typer(
    help="Compile or schedule the graph as a Kubeflow pipeline.", no_args_is_help=True
)
app.add_typer(kubeflow_app, name="kubeflow")


@kubeflow_app.command("compile")
def kubeflow_compile(
    *,
    out: Annotated[Path, typer.Option(help="The YAML file to write.")] = Path("pipeline.yaml"),
) -> None:
    """Turn dvc.yaml into a Kubeflow Pipelines YAML, for the cluster that SORTLINE_* describe."""
    from sortline.orchestration.kubeflow import compile_pipeline

    compile_pipeline(Path.cwd(), out)
    typer.echo(out)


@kubeflow_app.command("schedule")
def kubeflow_schedule(
    host: Annotated[str, typer.Argument(help="The address of Kubeflow Pipelines' API.")],
    *,
    cron: Annotated[
        str, typer.Option(help="When to run: six fields of cron, seconds first.")
    ] = "0 0 3 * * 1",
    recipe: Annotated[
        str, typer.Option(help="Lay recipes/NAME.yaml over params.yaml; empty: none.")
    ] = "",
) -> None:
    """Compile, and have Kubeflow run it by the clock, in place of what it was told before."""
    from sortline.orchestration.kubeflow import Recurring, schedule

    typer.echo(schedule(Path.cwd(), Recurring(host, cron, recipe)))
