"""The part of the `sortline` command that a scheduler's tasks, and whoever feeds it, call."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from sortline.cli.kubeflow import app as kubeflow_commands
from sortline.cli.running_task import RunId, skip, task_of
from sortline.cli.watch import app as watch_app
from sortline.core.errors import ParamsError, SortlineError

app = typer.Typer()
app.add_typer(kubeflow_commands)
retraining_app = typer.Typer(
    help="Do one task of a retraining run, as Airflow and pods do.", no_args_is_help=True
)
retraining_app.add_typer(watch_app)
app.add_typer(retraining_app, name="retraining")


def _changes(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise ParamsError(f"--changes is {text!r}, which is not JSON ({error}).") from error
    if not isinstance(value, dict):
        raise ParamsError('--changes wants an object, such as {"train_phase1": {"epochs": 3}}.')
    return value


@retraining_app.command("plan")
def plan(  # noqa: PLR0913 (a command line's options)
    run_id: RunId,
    *,
    revision: Annotated[
        str, typer.Option(help="The branch, tag or commit to train; empty: HEAD.")
    ] = "",
    recipe: Annotated[
        str, typer.Option(help="Lay recipes/NAME.yaml over params.yaml; empty: none.")
    ] = "",
    changes: Annotated[
        str, typer.Option(help="Settings as a JSON object, laid over params.yaml.")
    ] = "",
    data_revision: Annotated[
        str, typer.Option(help="The dataset: a git revision or an MD5; empty: the newest.")
    ] = "",
    champion: Annotated[
        str, typer.Option(help="The champion's address, or none; empty: leave it as it is.")
    ] = "",
    dry_run: Annotated[
        str, typer.Option(help="true: train and judge, but publish nothing.")
    ] = "false",
    trigger: Annotated[str, typer.Option(help="What started the run, for its record.")] = "manual",
    answer: Annotated[
        Path | None, typer.Option(help="Write new or same to this file, and exit with 0.")
    ] = None,
) -> None:
    """Decide what a run trains; exit status 99 when that was trained already."""
    from sortline.core.files import write_text
    from sortline.orchestration.plan import Request, described, make_plan

    with task_of(run_id, "resolve_revision") as settings:
        request = Request(
            run_id=run_id,
            revision=revision,
            recipe=recipe,
            changes=_changes(changes),
            data=data_revision,
            champion=champion,
            dry_run=dry_run.strip().lower() == "true",
            trigger=trigger,
        )
        made = make_plan(request, settings)
    typer.echo(described(made))
    if answer:
        write_text(answer, "same" if made.same_as else "new")
    elif made.same_as:
        skip(f"Nothing new to train: the run {made.same_as} had it all.")


@retraining_app.command("stage")
def stage(
    name: Annotated[str, typer.Argument(help="The name of a stage in dvc.yaml.")], run_id: RunId
) -> None:
    """Do a stage of the graph in a throw-away clone."""
    from sortline.orchestration.joining import run_worker

    with task_of(run_id, name) as settings:
        run_worker(name, run_id, settings)


@retraining_app.command("features")
def features(
    part: Annotated[
        str, typer.Argument(help="Which part to compute: I/N is the I-th of N, counted from 1.")
    ],
    run_id: RunId,
) -> None:
    """Compute a part of the features, and share it."""
    from sortline.orchestration.stage_run import fill_features

    with task_of(run_id, f"features {part}") as settings:
        fill_features(part, run_id, settings)


@retraining_app.command("blessing")
def blessing(run_id: RunId) -> None:
    """Show what the gates said; exit status 99 when they refused."""
    from sortline.orchestration.actions import blessing_of
    from sortline.orchestration.plan import read_plan
    from sortline.orchestration.run_store import RunStore

    with task_of(run_id, "blessing") as settings:
        store = RunStore(settings.run_store)
        found = blessing_of(store, read_plan(store, run_id))
    for verdict in found["verdicts"]:
        word = "passed " if verdict["passed"] else "REFUSED"
        typer.echo(f"{word} {verdict['gate']}: {verdict['reason']}")
    if not found["blessed"]:
        skip("The gates refused the model: nothing is published. This is a clean ending.")


@retraining_app.command("act")
def act(
    name: Annotated[str, typer.Argument(help="The action: infra_validate, publish or promote.")],
    run_id: RunId,
) -> None:
    """Validate, publish or promote what a run made; exit status 99 when that is not asked for."""
    from sortline.orchestration.actions import ACTIONS
    from sortline.orchestration.actions import act as do

    if name not in ACTIONS:
        raise ParamsError(f"There is no action {name!r}. There are: {', '.join(ACTIONS)}.")
    with task_of(run_id, name) as settings:
        reason = do(name, run_id, settings)
    if reason:
        skip(f"{name} has nothing to do: {reason}.")


@retraining_app.command("record")
def record(run_id: RunId) -> None:
    """Write how a run ended, and push its branch; exit status 2 when the run failed."""
    from sortline.orchestration.records import make_record, summary

    with task_of(run_id, "record") as settings:
        made = make_record(run_id, settings)
    if made.outcome == "failed":
        raise SortlineError(summary(made))
    typer.echo(summary(made))


@retraining_app.command("notify")
def notify(run_id: RunId) -> None:
    """Say how a run ended."""
    from sortline.orchestration.notify import notify as say

    with task_of(run_id, "notify") as settings:
        typer.echo(say(run_id, settings))


@retraining_app.command("compare")
def compare(run_id: RunId) -> None:
    """Show the variants of a sweep, the most accurate first."""
    from sortline.orchestration.run_store import RunStore
    from sortline.orchestration.sweep_table import compare as rows_of
    from sortline.orchestration.sweep_table import table

    with task_of(run_id, "compare") as settings:
        typer.echo(table(rows_of(run_id, RunStore(settings.run_store))))


@app.command("data-updated")
def data_updated() -> None:
    """Push the dataset that data.dvc pins, and have it retrained on."""

    from sortline.orchestration.announcing import publish_data, wake
    from sortline.orchestration.embedded_home import use_local_airflow
    from sortline.orchestration.settings import task_settings

    use_local_airflow(Path.cwd())
    data = publish_data(Path.cwd(), task_settings())
    typer.echo(f"{data.digest} is the newest dataset. {wake(data)}")


airflow_app = typer.Typer(help="Run Airflow on this machine.", no_args_is_help=True)
app.add_typer(airflow_app, name="airflow")


@airflow_app.command("up")
def airflow_up(
    *,
    port: Annotated[int, typer.Option(help="Port of the web page; 0: any free port.")] = 8080,
    recipe: Annotated[str, typer.Option(help="The recipe of the first run.")] = "demo",
) -> None:
    """Bring up Airflow for this repository, and start a first run; Ctrl-C ends all of it."""

    from sortline.orchestration.embedded import up

    up(Path.cwd(), port, recipe)


@airflow_app.command("backfill")
def airflow_backfill(
    revisions: Annotated[list[str], typer.Argument(help="The datasets: git revisions or MD5s.")],
    *,
    recipe: Annotated[
        str, typer.Option(help="Lay recipes/NAME.yaml over params.yaml; empty: none.")
    ] = "",
) -> None:
    """Start one run for each data revision, as dry runs: nothing of the past is published."""

    from sortline.orchestration.announcing import api_from_environment
    from sortline.orchestration.embedded import DAG_ID
    from sortline.orchestration.embedded_home import use_local_airflow

    use_local_airflow(Path.cwd())
    api = api_from_environment()
    if api is None:
        raise ParamsError(
            "No Airflow is known. Start one by `sortline airflow up`, or set SORTLINE_AIRFLOW_URL."
        )
    for revision in revisions:
        conf = {"data_revision": revision, "recipe": recipe, "dry_run": True}
        typer.echo(api.trigger(DAG_ID, conf))
