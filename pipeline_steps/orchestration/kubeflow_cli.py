"""The part of the `sortline` command that makes a Kubeflow pipeline."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
kubeflow_app = typer.Typer(help="The graph as a Kubeflow pipeline.", no_args_is_help=True)
app.add_typer(kubeflow_app, name="kubeflow")


@kubeflow_app.command("compile")
def kubeflow_compile(
    *,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("pipeline.yaml"),
) -> None:
    """Turn dvc.yaml into a Kubeflow Pipelines YAML, for the cluster that SORTLINE_... describe."""
    from pipeline_steps.orchestration.kubeflow import compile_pipeline

    compile_pipeline(Path.cwd(), out)
    typer.echo(out)
