"""The part of the `sortline` command that serves, releases and watches a model."""

from pathlib import Path
from typing import Annotated

import typer

from sortline.cli.monitor import app as watch_app
from sortline.cli.releases import app as releases_app

app = typer.Typer()
app.add_typer(releases_app)
app.add_typer(watch_app)


@app.command()
def serve(
    *,
    base_path: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Serve a folder of versions, <number>/.")
    ] = None,
    saved_model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Serve one model. Default: artifacts/saved_model."),
    ] = None,
    model_config_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Serve what this model config file lists.")
    ] = None,
    name: Annotated[
        str, typer.Option(help="The model's name, where no config file names it.")
    ] = "sortline",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for gRPC; 0: any free port.")
    ] = 8500,
    rest_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for REST; 0: any free port.")
    ] = 8501,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print the server's log.")] = False,
) -> None:
    """Serve a model on this machine, until Ctrl-C.

    With tensorflow_model_server if it is on the PATH, in a container if Docker answers, else with a
    stand-in, which is not for production. A folder of versions is served by its newest.
    """
    from sortline.serving.serve import command

    sources = (base_path, saved_model, model_config_file)
    command(name, sources, (port, rest_port), verbose=verbose)


@app.command("infra-validate")
def infra_validate(
    *,
    root: Annotated[
        Path, typer.Option(help="The run to validate: this folder, or runs/NAME.")
    ] = Path(),
    images: Annotated[
        int | None,
        typer.Option(min=1, help="How many test images to ask about. Default: as in params.yaml."),
    ] = None,
    timeout_s: Annotated[
        float | None,
        typer.Option(min=0.1, help="Seconds for all of it. Default: as in params.yaml."),
    ] = None,
) -> None:
    """Have a model server serve the exported model; it must say what evaluation said.

    Exit code: 0 blessed, 3 not.
    """
    from sortline.serving.infra_validate import command

    command(root, images, timeout_s)
