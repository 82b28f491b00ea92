"""The part of `sortline retraining` that watches: for new data, and for drift."""

from typing import Annotated

import typer

from sortline.cli.running_task import RunId, skip, task_of

app = typer.Typer()


@app.command("look")
def look(run_id: RunId) -> None:
    """Look for new data; exit status 99 when there is none."""
    from sortline.orchestration.announcing import look as find

    with task_of(run_id, "look") as settings:
        found = find(run_id, settings)
    if found is None:
        skip("No new data.")
    else:
        typer.echo(f"New data: {found.digest}")


@app.command("remember")
def remember(run_id: RunId) -> None:
    """Note the data that a look found as seen."""
    from sortline.orchestration.announcing import remember as note

    with task_of(run_id, "remember") as settings:
        note(run_id, settings)


@app.command("look-for-drift")
def look_for_drift(
    run_id: RunId,
    *,
    days: Annotated[int, typer.Option(min=1, help="How many days back to look.")] = 7,
) -> None:
    """Compare what is answered with the test split; exit status 99 when there is no drift."""
    from sortline.orchestration.drift_watch import look_for_drift as find

    with task_of(run_id, "look_for_drift") as settings:
        found = find(run_id, settings, days)
    if not found.drifted:
        skip(found.text)
    typer.echo(found.text)


@app.command("alert")
def alert(run_id: RunId) -> None:
    """Tell people of a drift."""
    from sortline.orchestration.drift_watch import alert as say

    with task_of(run_id, "alert") as settings:
        typer.echo(say(run_id, settings))
