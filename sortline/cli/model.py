"""Commands on the exported model: what the gates say, predict, serve, report, the champion."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from sortline.cli.options import (
    SERVER_PANEL,
    AsJson,
    Authority,
    Certificate,
    Key,
    RunFolder,
    print_json,
)

PANEL = "Model"
app = typer.Typer()
champion = typer.Typer(
    help="Choose or show the model that a candidate has to beat.", no_args_is_help=True
)
app.add_typer(champion, name="champion", rich_help_panel=PANEL)


def _of_server(**settings: Any) -> Any:
    return typer.Option(rich_help_panel=SERVER_PANEL, **settings)


@app.command(rich_help_panel=PANEL)
def predict(  # noqa: PLR0913 (one an option)
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="Images, or folders.", exists=True, readable=False),
    ],
    *,
    saved_model: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The exported model's folder. Default: artifacts/saved_model."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="The gRPC address of a model server that is asked instead of a model here.",
        ),
    ] = None,
    model_name: Annotated[
        str | None, _of_server(help="The model's name on the server. Default: sortline.")
    ] = None,
    version: Annotated[
        int | None, _of_server(min=0, help="The number of the version that has to answer.")
    ] = None,
    label: Annotated[
        str | None, _of_server(help="The label of the version that has to answer, e.g. stable.")
    ] = None,
    contract: Annotated[
        Path | None,
        _of_server(
            metavar="FILE", help="The model's contract.json, which names the labels for --json."
        ),
    ] = None,
    ca: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    timeout: Annotated[
        float | None,
        _of_server(metavar="SECONDS", help="How long 32 images may take. Default: 10."),
    ] = None,
) -> None:
    """Classify images with an exported model, or by asking a model server.

    Folders are searched to any depth; hidden files are skipped. A file that the model cannot take
    gets a line too: invalid, and why.

    Exit code: 0 all valid, 1 some invalid, 2 a path is missing (nothing done) or the server does
    not answer.
    """
    from sortline.client.server_options import Server

    server = Server(
        target, model_name, version, label, contract, ca, certificate, key, timeout_s=timeout
    )
    if _classify(paths, saved_model, server, as_json=as_json):
        raise typer.Exit(1)


def _classify(paths: list[Path], saved_model: Path | None, server: Any, *, as_json: bool) -> int:
    from sortline.core.errors import ParamsError

    if server.target is None:
        server.require_none()
        with _needs("train"):
            from sortline.serving import local_predict
        return local_predict.command(
            paths, saved_model or Path("artifacts/saved_model"), as_json=as_json
        )
    if saved_model is not None:
        raise ParamsError(
            f"Both a model, {saved_model}, and a server, {server.target}, are named: give one."
        )
    from sortline.serving.predict import ask_server

    return ask_server(paths, server, as_json=as_json)


@contextmanager
def _needs(extra: str) -> Iterator[None]:
    from sortline.core.errors import ParamsError

    try:
        yield
    except ModuleNotFoundError as error:
        raise ParamsError(
            f"{error.name} is not installed, which is needed here: install sortline[{extra}]."
            " (To ask a server, which needs no more than this: --target HOST:PORT.)"
        ) from error


@app.command(rich_help_panel=PANEL)
def serve(
    *,
    base_path: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder of versions, <number>/; the newest is served."),
    ] = None,
    saved_model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="One model's folder. Default: artifacts/saved_model."),
    ] = None,
    model_config_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A model config file of TF Serving.")
    ] = None,
    name: Annotated[
        str, typer.Option(help="The model's name, where no config file gives it.")
    ] = "sortline",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The gRPC port; 0 takes a free one.")
    ] = 8500,
    rest_port: Annotated[
        int, typer.Option(min=0, max=65535, help="The REST port; 0 takes a free one.")
    ] = 8501,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print the server's log, too.")
    ] = False,
) -> None:
    """Serve a model on this machine, until Ctrl-C.

    With tensorflow_model_server if it is on the PATH, in a container if Docker answers, else with a
    stand-in, which is not for production.
    """
    from sortline.serving.serve import command

    sources = (base_path, saved_model, model_config_file)
    command(name, sources, (port, rest_port), verbose=verbose)


@app.command("infra-validate", rich_help_panel=PANEL)
def infra_validate(
    *,
    root: RunFolder = Path(),
    images: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many images of the test split are asked about. Default: params.yaml."
        ),
    ] = None,
    timeout_s: Annotated[
        float | None,
        typer.Option(min=0.1, help="Seconds for the whole validation. Default: params.yaml."),
    ] = None,
) -> None:
    """Have a model server serve the exported model; its answers must be those of evaluation.

    Exit code: 0 blessed, 3 not.
    """
    from sortline.orchestration.params import load
    from sortline.serving.infra_validate import command

    params = load(Path.cwd())
    options = {"images": images, "timeout_s": timeout_s}
    changed = {name: value for name, value in options.items() if value is not None}
    settings = params.infra_validate.model_copy(update=changed)
    command(root, settings, params.promote.model_name, params.publish.serving_version)


@app.command(rich_help_panel=PANEL)
def report(
    *,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    root: RunFolder = Path(),
) -> None:
    """Gather one self-contained HTML page: verdicts, numbers, curves, mistakes, data, lineage."""
    from sortline.reporting.report import build_report

    typer.echo(build_report(root, out))


@app.command(rich_help_panel=PANEL)
def gate(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="End with exit code 3 if a gate refuses the model.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the gates say of the exported model."""
    from sortline.core.errors import RefusedError
    from sortline.core.paths import Paths
    from sortline.evaluation.blessing import current_blessing, headline, table

    blessing = current_blessing(Paths(Path.cwd()))
    if as_json:
        print_json(blessing.to_json())
    else:
        from rich.console import Console

        Console().print(table(blessing))
    if check and not blessing.blessed:
        reasons = [f"  {v.gate}: {v.reason}" for v in blessing.verdicts if not v.passed]
        raise RefusedError("\n".join([headline(blessing), *reasons]))


@champion.command("use")
def use(
    uri: Annotated[
        str,
        typer.Argument(
            help="A SavedModel's folder, a release's version, an address such as s3://bucket/model;"
            " or none, for no champion."
        ),
    ],
) -> None:
    """Verify a model, and make it the champion."""
    from sortline.core.paths import Paths
    from sortline.evaluation.champion import described, use

    model, remarks = use(uri, Paths(Path.cwd()))
    print("\n".join([described(model), *remarks]))


@champion.command("show")
def show(*, as_json: AsJson = False) -> None:
    """Say which model the champion is."""
    from sortline.core.paths import Paths
    from sortline.evaluation.champion import described, read_champion

    model = read_champion(Paths(Path.cwd()).champion)
    if as_json:
        print_json(asdict(model) if model else None)
    else:
        print(described(model))
