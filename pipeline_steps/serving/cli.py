"""The part of the `sortline` command that serves, releases and watches a model."""

import typer

app = typer.Typer()
