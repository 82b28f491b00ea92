"""What every command has that is a task of a run: its settings, its error kept for the record."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from sortline.core.errors import SortlineError

RunId = Annotated[
    str, typer.Option("--run-id", help="The run's name: any text that no other run has.")
]


@contextmanager
def task_of(run_id: str, task: str) -> Iterator[Any]:
    """The settings; what is refused in the block is kept for the record."""
    from sortline.orchestration.local_runner import end_with_parent
    from sortline.orchestration.records import note_error
    from sortline.orchestration.run_store import RunStore
    from sortline.orchestration.settings import task_settings

    end_with_parent()
    settings = task_settings()
    try:
        yield settings
    except SortlineError as error:
        note_error(RunStore(settings.run_store), run_id, task, str(error))
        raise


def skip(reason: str) -> None:
    """End: there is nothing to do."""
    from sortline.orchestration.settings import SKIPPED

    typer.echo(reason)
    raise typer.Exit(SKIPPED)
