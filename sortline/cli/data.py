"""Commands on the dataset: bring pictures in, and mend their labels."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sortline.cli.options import AsJson, DataFolder, Log, Recipe, print_json

PANEL = "Data"
app = typer.Typer()
labels = typer.Typer(help="Find and mend wrong labels; join late ones.", no_args_is_help=True)
app.add_typer(labels, name="labels", rich_help_panel=PANEL)


@app.command(rich_help_panel=PANEL)
def ingest(
    source: Annotated[
        str,
        typer.Argument(
            help="The pictures as <class>/<image>: a folder, a zip or tar file of one, or an"
            " address such as s3://bucket/pictures."
        ),
    ],
    *,
    add: Annotated[
        bool, typer.Option("--add", help="Add to the dataset instead of making a new one.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help="The seed of the split. Default: from params.yaml.")
    ] = None,
    data: DataFolder = Path("data"),
) -> None:
    """Check your own pictures, remove duplicates, and split them into a dataset."""
    from sortline.dataset.ingest import command

    command(source, data, add=add, seed=seed)


@labels.command("audit")
def audit(*, recipe: Recipe = None, as_json: AsJson = False) -> None:
    """List the labels that are probably wrong, with thumbnails, for a person to review.

    A classifier on the backbone's features judges each image, always one that it was not trained
    on. Duplicates with two labels are listed, too. Run `dvc repro validate` first.
    """
    from sortline.core.paths import Paths
    from sortline.experiments.label_audit import FOLDER, audit
    from sortline.orchestration.params import load

    root = Path.cwd()
    done = audit(load(root, recipe), Paths(root))
    if as_json:
        print_json({**asdict(done), "folder": FOLDER})
        return
    by = ", ".join(f"{count} by {name}" for name, count in done.by.items())
    typer.echo(f"{len(done.suspects):,} of {done.images:,} labels are suspect{by and ': ' + by}.")
    typer.echo(f"Look at {FOLDER}/sheet.png, fill the column decision in {FOLDER}/suspects.csv")
    typer.echo("(keep, remove, or the right class), then: sortline labels apply suspects.csv")


@labels.command("apply")
def apply(
    reviewed: Annotated[
        Path, typer.Argument(metavar="SUSPECTS.csv", help="The list with the decisions filled in.")
    ],
    *,
    data: DataFolder = Path("data"),
) -> None:
    """Move and remove images as a reviewed list says: all of it or nothing."""
    from sortline.dataset.apply import apply

    done = apply(reviewed, data)
    typer.echo(f"{done.moved} moved, {done.removed} removed, {done.kept} kept as they were.")
    if done.moved or done.removed:
        typer.echo(f"Next: dvc add {data}, then sortline run")


@labels.command("join")
def join(
    log: Log,
    labels: Annotated[
        Path,
        typer.Argument(metavar="LABELS.csv", help="A table with the columns sha256 and label."),
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Join labels to the prediction log, and print how accurate each version is in service.

    The column sha256 is that of the image's bytes as they were sent. Of several labels of an image,
    the last one counts. Running it again changes nothing.
    """
    from sortline.monitoring.live_labels import command

    command(log, labels, as_json=as_json)
