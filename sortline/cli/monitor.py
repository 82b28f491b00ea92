"""Commands on a model in service."""

from pathlib import Path
from typing import Annotated

import typer

from sortline.cli.options import AsJson, Log

app = typer.Typer()


@app.command(rich_help_panel="Monitoring")
def drift(  # noqa: PLR0913 (one an option)
    log: Log,
    *,
    reference: Annotated[
        Path,
        typer.Option(metavar="DIR", help="The model's run, runs/NAME, or its reports/evaluation."),
    ] = Path("reports/evaluation"),
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When the time begins: ISO 8601, UTC without an offset."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="When the time ends; not included.")
    ] = None,
    version: Annotated[
        int | None,
        typer.Option(min=0, help="The version whose answers are looked at. Default: all."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0.0, help="The index from which it is a drift. Default: params.yaml."),
    ] = None,
    lineage: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What the model learned from: its lineage.json, or a data.dvc. Default: the one"
            " beside the reference.",
        ),
    ] = None,
    new_data: Annotated[
        bool, typer.Option("--new-data", help="Say that there is new data to learn from.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the answers of a time with those on the test split; say whether to retrain.

    By class and by confidence, by the population stability index. A drift is an alert. A retraining
    is advised when there is new data, too: another data.dvc than the model learned from, or enough
    labelled images that it has not seen.

    Exit code: 0 stable, 4 drift, 5 too few images to say.
    """
    from sortline.monitoring.drift import Window, parse_time
    from sortline.monitoring.drift_command import Asked, command

    window = Window(parse_time(since), parse_time(until), version)
    asked = Asked(reference, window, threshold, lineage, new_data)
    if code := command(log, asked, as_json=as_json):
        raise typer.Exit(code)
