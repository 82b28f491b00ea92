"""`sortline serve`: a model server for people, until Ctrl-C."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sortline.core.errors import ArtifactError, ParamsError, ServingError
from sortline.serving.local_server import RunningServer, running_server
from sortline.serving.server_program import Models

_SAVED_MODEL: Final = Path("artifacts/saved_model")
_TIMEOUT_S: Final = 600.0
# The file of a store is followed, and may have labels when the server starts.
_FOLLOWING: Final = (
    "--model_config_file_poll_wait_seconds=5",
    "--allow_version_labels_for_unavailable_models",
)


def _check(saved_model: Path) -> None:
    if not (saved_model / "saved_model.pb").is_file():
        raise ArtifactError(
            f"There is no exported model in {saved_model}. Make one with `sortline run`, or name"
            " another with --saved-model: `sortline run --recipe demo` leaves one in"
            " runs/demo/artifacts/saved_model."
        )


@contextmanager
def sources(
    name: str, base_path: Path | None, saved_model: Path | None, config_file: Path | None
) -> Iterator[Models]:
    """What is to be served, for the length of the block: a folder, a copy of a model, or a file.

    Raises:
        ParamsError: more than one is named.
        ArtifactError: there is no model.
    """
    paths = [path for path in (base_path, saved_model, config_file) if path is not None]
    if len(paths) > 1:
        raise ParamsError("Give one of --base-path, --saved-model and --model-config-file.")
    if config_file is not None:
        yield Models(config_file=config_file, flags=_FOLLOWING)
    elif base_path is not None:
        if not base_path.is_dir():
            raise ArtifactError(f"{base_path} is no folder of versions: <base path>/<number>/.")
        yield Models(name, base_path)
    else:
        folder = saved_model or _SAVED_MODEL
        _check(folder)
        with tempfile.TemporaryDirectory(prefix="sortline-") as private:
            shutil.copytree(folder, Path(private, "1"))
            yield Models(name, Path(private), flags=("--file_system_poll_wait_seconds=0",))


def announcement(server: RunningServer, models: Models) -> str:
    """What a person is told who starts a server."""
    judge = f"{server.program.kind} ({server.program.version})"
    names = models.names()  # A config file may name none yet.
    lines = [
        f"Serving {', '.join(names) or 'nothing yet'} with {judge}.",
        f"  gRPC  {server.grpc}",
        f"  REST  http://{server.rest}/v1/models/{names[0] if names else 'NAME'}",
        "In another terminal:",
        f"  sortline predict photo.jpg --target {server.grpc}",
        "Ctrl-C stops it.",
    ]
    if server.program.kind == "stand-in":
        lines.insert(
            1, "  (not for production: neither tensorflow_model_server nor Docker is here)"
        )
    return "\n".join(lines)


def _echo(line: str) -> None:
    sys.stderr.write(line)


def command(
    name: str,
    named: tuple[Path | None, Path | None, Path | None],
    ports: tuple[int, int],
    *,
    verbose: bool,
) -> None:
    """Serve until interrupted.

    Args:
        name: of the model; not used with a config file.
        named: base path, SavedModel, model config file; at most one of them.
        ports: of gRPC and REST; 0: any.
        verbose: print the server's log, too.

    Raises:
        ServingError: the server did not start, or ended by itself.
        ArtifactError: there is no model.
    """
    echo = _echo if verbose else None
    try:
        with (
            sources(name, *named) as models,
            running_server(
                models, timeout_s=_TIMEOUT_S, port=ports[0], rest_port=ports[1], echo=echo
            ) as server,
        ):
            print(announcement(server, models), flush=True)
            code = server.process.wait()
            tail = server.log.tail()
            raise ServingError(
                "UNAVAILABLE",
                server.grpc,
                f"The model server ended by itself, with exit code {code}. It said last:\n{tail}",
            )
    except KeyboardInterrupt:
        print("\nStopped.", flush=True)
