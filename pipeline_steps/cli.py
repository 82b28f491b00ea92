"""The `sortline` command. Each command imports what it needs when it runs: `--help` stays fast."""

import sys

import typer

from pipeline_steps.entry import exit_code_of, quiet_libraries

app = typer.Typer(
    help="Retrain, gate and serve an image classifier.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; every refusal of ours is one message and its exit code."""
    quiet_libraries()
    sys.exit(exit_code_of(lambda: app(standalone_mode=True)))
