"""The part of `sortline labels` that audits the labels of the dataset."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command("audit")
def labels_audit(
    *,
    recipe: Annotated[
        str | None,
        typer.Option(help="Use the backbone of recipes/NAME.yaml. Default: that of params.yaml."),
    ] = None,
) -> None:
    """List the labels of data/ that are probably wrong, with thumbnails, for a person to review.

    By a classifier on the backbone's features, each image judged by one that did not see it, and by
    duplicates with two labels. Reads artifacts/manifest.parquet: run `dvc repro validate` first.
    """
    from sortline.core.paths import Paths
    from sortline.experiments.audit import FOLDER, audit
    from sortline.experiments.run import load_with_recipe

    root = Path.cwd()
    found = audit(load_with_recipe(root, recipe), Paths(root))
    by = ", ".join(f"{count} by {name}" for name, count in found.by.items())
    typer.echo(f"{len(found.suspects):,} of {found.images:,} labels are suspect{by and ': ' + by}.")
    typer.echo(f"Look at {FOLDER}/sheet.png, fill the column decision in {FOLDER}/suspects.csv")
    typer.echo("(keep, remove, or the right class), then: sortline labels apply suspects.csv")


@app.command("apply")
def labels_apply(
    reviewed: Annotated[
        Path,
        typer.Argument(
            metavar="SUSPECTS.csv", help="The list of suspects, with the column decision filled."
        ),
    ],
    *,
    data: Annotated[Path, typer.Option(help="The dataset's folder.")] = Path("data"),
) -> None:
    """Move and remove images as a reviewed list says, all of it or nothing."""
    from sortline.dataset.apply import apply

    done = apply(reviewed, data)
    typer.echo(f"{done.moved} moved, {done.removed} removed, {done.kept} kept as they were.")
    if done.moved or done.removed:
        typer.echo(f"Next: dvc add {data}, then sortline run")
