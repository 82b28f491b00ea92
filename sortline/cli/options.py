"""Options that several commands have, and how they print for programs."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

SERVER_PANEL = "Model server"
DataFolder = Annotated[Path, typer.Option("--data", help="The folder of the dataset.")]
Recipe = Annotated[
    str | None,
    typer.Option(help="The name of a file recipes/NAME.yaml, which is laid over params.yaml."),
]
RunFolder = Annotated[
    Path, typer.Option(help="The folder with the run's artifacts and reports: here, or runs/NAME.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object for programs.")]
Log = Annotated[
    str,
    typer.Argument(
        metavar="LOG", help="The prediction log: a folder, or an address such as s3://bucket/log."
    ),
]
Authority = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        metavar="FILE",
        help="PEM file of the CA that signed the server's certificate.",
        rich_help_panel=SERVER_PANEL,
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="PEM file of your certificate, if the server asks for one.",
        rich_help_panel=SERVER_PANEL,
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="PEM file of the key of --certificate.",
        rich_help_panel=SERVER_PANEL,
    ),
]


def print_json(value: Any) -> None:
    """Print a value as one JSON document."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))
