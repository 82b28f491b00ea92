"""`sortline generate`: found by the command through an entry point, not imported."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command(rich_help_panel="Data")
def generate(
    *,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the drawings. Default: the pinned dataset's.")
    ] = None,
    problem: Annotated[
        str, typer.Option(help="What to draw: waste, birds30, birds400, xray2 or digits.")
    ] = "waste",
    data: Annotated[Path, typer.Option("--data", help="The dataset's folder.")] = Path("data"),
) -> None:
    """Draw the reference dataset (ten classes, 19,723 pictures), or another problem's."""
    from sortline.synthetic.generated import REFERENCE_SEED
    from sortline.synthetic.generated import generate as draw

    summary = draw(data, seed=REFERENCE_SEED if seed is None else seed, problem=problem)
    typer.echo(f"{summary.images:,} pictures, {summary.total_bytes / 1e6:.0f} MB, are in {data}.")
    typer.echo(f"Next: dvc add {data}, then sortline run")
