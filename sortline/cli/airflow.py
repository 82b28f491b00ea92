"""Commands that schedulers call, and those for whoever runs Airflow or Kubeflow."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from sortline.cli.options import AsJson, print_json
from sortline.core.errors import ParamsError, SortlineError

if TYPE_CHECKING:
    from sortline.orchestration.settings import Settings

PANEL = "Scheduling"
app = typer.Typer()
retraining = typer.Typer(
    help="Do one task of a retraining run, as Airflow and pods do.", no_args_is_help=True
)
airflow = typer.Typer(help="Run Airflow on this machine.", no_args_is_help=True)
kubeflow = typer.Typer(
    help="Compile or schedule the graph as a Kubeflow pipeline.", no_args_is_help=True
)
app.add_typer(airflow, name="airflow", rich_help_panel=PANEL)
app.add_typer(kubeflow, name="kubeflow", rich_help_panel=PANEL)
app.add_typer(retraining, name="retraining", rich_help_panel=PANEL)

RunId = Annotated[
    str, typer.Option("--run-id", help="The name of the run: any text that no other run has.")
]


@contextmanager
def task_of(run_id: str, task: str) -> Iterator["Settings"]:
    """The settings of a task; an error in the block is kept for the run's record."""
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


def skip(reason: str) -> NoReturn:
    """End: there is nothing to do."""
    from sortline.orchestration.settings import SKIPPED

    typer.echo(reason)
    raise typer.Exit(SKIPPED)


def _changes(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise ParamsError(f"--changes is {text!r}, which is not JSON ({error}).") from error
    if not isinstance(value, dict):
        raise ParamsError('--changes wants an object, such as {"train_phase1": {"epochs": 3}}.')
    return value


@retraining.command("plan")
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


@retraining.command("stage")
def stage(
    name: Annotated[str, typer.Argument(help="The name of a stage in dvc.yaml.")], run_id: RunId
) -> None:
    """Do a stage of the graph in a throw-away clone."""
    from sortline.orchestration.stage_run import run_worker

    with task_of(run_id, name) as settings:
        run_worker(name, run_id, settings)


@retraining.command("features")
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


@retraining.command("blessing")
def blessing(run_id: RunId, *, as_json: AsJson = False) -> None:
    """Show what the gates said; exit status 99 when they refused. With --json it is always 0."""
    from sortline.orchestration.actions import blessing_of
    from sortline.orchestration.plan import read_plan
    from sortline.orchestration.run_store import RunStore

    with task_of(run_id, "blessing") as settings:
        store = RunStore(settings.run_store)
        judged = blessing_of(store, read_plan(store, run_id))
    if as_json:
        print_json(judged)
        return
    for verdict in judged["verdicts"]:
        word = "passed " if verdict["passed"] else "REFUSED"
        typer.echo(f"{word} {verdict['gate']}: {verdict['reason']}")
    if not judged["blessed"]:
        skip("The gates refused the model: nothing is published. This is a clean ending.")


@retraining.command("act")
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


@retraining.command("record")
def record(run_id: RunId) -> None:
    """Write how a run ended, and push its branch; exit status 2 when the run failed."""
    from sortline.orchestration.records import make_record, summary

    with task_of(run_id, "record") as settings:
        made = make_record(run_id, settings)
    if made.outcome == "failed":
        raise SortlineError(summary(made))
    typer.echo(summary(made))


@retraining.command("notify")
def notify(run_id: RunId) -> None:
    """Say how a run ended."""
    from sortline.orchestration.records import notify as say

    with task_of(run_id, "notify") as settings:
        typer.echo(say(run_id, settings))


@retraining.command("compare")
def compare(run_id: RunId, *, as_json: AsJson = False) -> None:
    """Show the variants of a sweep, the most accurate first."""
    from sortline.orchestration.records import variant_table, variants
    from sortline.orchestration.run_store import RunStore

    with task_of(run_id, "compare") as settings:
        rows = variants(run_id, RunStore(settings.run_store))
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        typer.echo(variant_table(rows))


@retraining.command("look")
def look(run_id: RunId) -> None:
    """Look for new data; exit status 99 when there is none."""
    from sortline.orchestration.watch import look as find

    with task_of(run_id, "look") as settings:
        data = find(run_id, settings)
    if data is None:
        skip("No new data.")
    typer.echo(f"New data: {data.digest}")


@retraining.command("remember")
def remember(run_id: RunId) -> None:
    """Note the data that a look found as seen."""
    from sortline.orchestration.watch import remember as note

    with task_of(run_id, "remember") as settings:
        note(run_id, settings)


@retraining.command("look-for-drift")
def look_for_drift(
    run_id: RunId,
    *,
    days: Annotated[int, typer.Option(min=1, help="How many days back to look.")] = 7,
) -> None:
    """Compare what is answered with the test split; exit status 99 when there is no drift."""
    from sortline.orchestration.watch import look_for_drift as find

    with task_of(run_id, "look_for_drift") as settings:
        verdict = find(run_id, settings, days)
    if not verdict.drifted:
        skip(verdict.text)
    typer.echo(verdict.text)


@retraining.command("alert")
def alert(run_id: RunId) -> None:
    """Tell people of a drift."""
    from sortline.orchestration.watch import alert as say

    with task_of(run_id, "alert") as settings:
        typer.echo(say(run_id, settings))


@app.command("data-updated", rich_help_panel=PANEL)
def data_updated() -> None:
    """Push the dataset that data.dvc pins, and have it retrained on."""

    from sortline.orchestration.embedded_home import use_local_airflow
    from sortline.orchestration.settings import task_settings
    from sortline.orchestration.watch import publish_data, wake

    use_local_airflow(Path.cwd())
    data = publish_data(Path.cwd(), task_settings())
    typer.echo(f"{data.digest} is the newest dataset. {wake(data)}")


@airflow.command("up")
def airflow_up(
    *,
    port: Annotated[int, typer.Option(help="Port of the web page; 0: any free port.")] = 8080,
    recipe: Annotated[str, typer.Option(help="The recipe of the first run.")] = "demo",
) -> None:
    """Bring up Airflow for this repository, and start a first run; Ctrl-C ends all of it."""

    from sortline.orchestration.embedded import up

    up(Path.cwd(), port, recipe)


@airflow.command("backfill")
def airflow_backfill(
    revisions: Annotated[list[str], typer.Argument(help="The datasets: git revisions or MD5s.")],
    *,
    recipe: Annotated[
        str, typer.Option(help="Lay recipes/NAME.yaml over params.yaml; empty: none.")
    ] = "",
) -> None:
    """Start one run for each data revision, as dry runs: nothing of the past is published."""

    from sortline.orchestration.airflow_api import api_from_environment
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


@kubeflow.command("compile")
def kubeflow_compile(
    *,
    out: Annotated[Path, typer.Option(help="The YAML file to write.")] = Path("pipeline.yaml"),
) -> None:
    """Turn dvc.yaml into a Kubeflow Pipelines YAML, for the cluster that SORTLINE_* describe."""
    from sortline.orchestration.kubeflow import compile_pipeline

    compile_pipeline(Path.cwd(), out)
    typer.echo(out)


@kubeflow.command("schedule")
def kubeflow_schedule(
    host: Annotated[str, typer.Argument(help="The address of Kubeflow Pipelines' API.")],
    *,
    cron: Annotated[
        str, typer.Option(help="When to run: six fields of cron, seconds first.")
    ] = "0 0 3 * * 1",
    recipe: Annotated[
        str, typer.Option(help="Lay recipes/NAME.yaml over params.yaml; empty: none.")
    ] = "",
) -> None:
    """Compile, and have Kubeflow run it by the clock, in place of what it was told before."""
    from sortline.orchestration.kubeflow import Recurring, schedule

    typer.echo(schedule(Path.cwd(), Recurring(host, cron, recipe)))
