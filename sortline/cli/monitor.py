"""The part of the `sortline` command that watches a model in service: labels, drift."""

from pathlib import Path
from typing import Annotated

import typer

from sortline.cli.labels import app as audit_app

app = typer.Typer()
labels_app = typer.Typer(
    help="Join late labels, and find and correct wrong ones.", no_args_is_help=True
)
labels_app.add_typer(audit_app)
app.add_typer(labels_app, name="labels")

Log = Annotated[
    str, typer.Argument(metavar="LOG", help="The prediction log: a folder, or s3://bucket/prefix.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@labels_app.command("join")
def labels_join(
    log: Log,
    labels: Annotated[
        Path,
        typer.Argument(metavar="LABELS.csv", help="The labels, in the columns sha256 and label."),
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Join labels to the prediction log; print how accurate each version is in service.

    sha256 is of the image's bytes as they were sent. Of several labels of an image, the last one
    counts. Repeated, it changes nothing.
    """
    from sortline.monitoring.live_labels import command

    command(log, labels, as_json=as_json)


@app.command()
def drift(  # noqa: PLR0913 (one an option)
    log: Log,
    *,
    reference: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="The model's evaluation: runs/NAME, or its reports/evaluation."
        ),
    ] = Path("reports/evaluation"),
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Count answers from this time, in ISO 8601; UTC without an offset."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Count answers before this time.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=0, help="Count the answers of this version. Default: all.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="The index above which there is drift. Default: drift.threshold of params.yaml.",
        ),
    ] = None,
    lineage: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What the model was trained on: its lineage.json, or a data.dvc. Default: the one"
            " beside the reference.",
        ),
    ] = None,
    new_data: Annotated[
        bool, typer.Option("--new-data", help="Say that there is new data to train on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the answers of a time with those on the test split; say whether to retrain.

    By class and by confidence, by the population stability index.

    A drift is an alert. A retraining is advised when there is new data, too: another data.dvc than
    the model learned from, or enough labelled images that it has not seen.

    Exit code: 0 stable, 4 drift, 5 too few images to say.
    """
    from sortline.monitoring.drift import Window, parse_time
    from sortline.monitoring.drift_command import Asked, command

    window = Window(parse_time(since), parse_time(until), version)
    asked = Asked(reference, window, threshold, lineage, new_data)
    if code := command(log, asked, as_json=as_json):
        raise typer.Exit(code)
