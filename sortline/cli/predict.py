"""`sortline predict`: the options of its two ways, and which of them is taken."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer()
_SERVER = "With --target"


def _of_server(**settings: Any) -> Any:
    return typer.Option(rich_help_panel=_SERVER, **settings)


@app.command()
def predict(  # noqa: PLR0913 (one an option)
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH", help="Images, or folders of images.", exists=True, readable=False
        ),
    ],
    *,
    saved_model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The exported model. Default: artifacts/saved_model."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Ask this model server (gRPC) instead of loading a model."
        ),
    ] = None,
    model_name: Annotated[
        str | None, _of_server(help="The model's name on the server. Default: sortline.")
    ] = None,
    version: Annotated[int | None, _of_server(min=0, help="Ask this version of the model.")] = None,
    label: Annotated[
        str | None, _of_server(help="Ask the version with this label, such as stable.")
    ] = None,
    contract: Annotated[
        Path | None,
        _of_server(metavar="FILE", help="The model's contract.json, for all labels in --json."),
    ] = None,
    ca: Annotated[
        Path | None,
        _of_server(metavar="FILE", help="PEM file of the CA that signed the server's certificate."),
    ] = None,
    certificate: Annotated[
        Path | None,
        _of_server(
            metavar="FILE", help="PEM file of your certificate, if the server asks for one."
        ),
    ] = None,
    key: Annotated[
        Path | None, _of_server(metavar="FILE", help="PEM file of the key of --certificate.")
    ] = None,
    timeout: Annotated[
        float | None,
        _of_server(metavar="SECONDS", help="How long 32 images may take. Default: 10."),
    ] = None,
) -> None:
    """Classify images with an exported model, or by asking a model server.

    Folders are searched to any depth; hidden files are skipped.

    A file that the model cannot take gets a line too: invalid, and why.

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
        with _from_extra("train"):
            from sortline.serving import local_predict
        return local_predict.command(
            paths, saved_model or Path("artifacts/saved_model"), as_json=as_json
        )
    if saved_model is not None:
        raise ParamsError(
            f"Both a model, {saved_model}, and a server, {server.target}, are named: give one."
        )
    with _from_extra("client"):
        from sortline.serving.predict import ask_server
    return ask_server(paths, server, as_json=as_json)


@contextmanager
def _from_extra(extra: str) -> Iterator[None]:
    from sortline.core.errors import ParamsError

    try:
        yield
    except ModuleNotFoundError as error:
        raise ParamsError(
            f"{error.name} is not installed, which is needed here: install sortline[{extra}]."
            " (Without any extra, ask a server: --target HOST:PORT.)"
        ) from error
