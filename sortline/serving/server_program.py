"""Which model server runs here, and how it is started.

The real one from the PATH; else the real one in a container, if a Docker engine answers and has or
gets the image; else the stand-in.
"""

import importlib.metadata
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import sortline
from sortline.client.model_config import read_config_file
from sortline.client.server_status import StatusError
from sortline.core.errors import ParamsError, ServingError
from sortline.core.settings import read_settings

Kind = Literal["tensorflow_model_server", "docker", "stand-in"]
REAL: Final = "tensorflow_model_server"
IMAGE: Final = "tensorflow/serving:2.21.0"
_ASK_S: Final = 10.0
_PULL_S: Final = 300.0
_CONTAINER_GRPC: Final = 8500
_CONTAINER_REST: Final = 8501
# A version that cannot be loaded is to be an answer, not a wait of five minutes.
_REAL_FLAGS: Final = ("--max_num_load_retries=0",)


@dataclass(frozen=True)
class Models:
    """What is to be served: one base path under a name, or what a model config file lists.

    Attributes:
        flags: more of the server's.
    """

    name: str = "sortline"
    base_path: Path | None = None
    config_file: Path | None = None
    flags: tuple[str, ...] = ()

    def _listed(self) -> dict[str, Path]:
        if self.config_file is None:
            return {} if self.base_path is None else {self.name: self.base_path}
        try:
            listed = read_config_file(self.config_file)
        except StatusError as error:
            raise ParamsError(f"{self.config_file} cannot be served: {error}") from error
        return {name: Path(settings.base_path) for name, settings in listed.items()}

    def names(self) -> list[str]:
        """Of all models.

        Raises:
            ParamsError: the config file cannot be used.
        """
        return list(self._listed())

    def arguments(self) -> list[str]:
        """Flags of any of the servers."""
        if self.config_file is not None:
            return [f"--model_config_file={self.config_file.resolve()}", *self.flags]
        if self.base_path is None:
            raise ServingError("INVALID_ARGUMENT", "", "No model is named: give a base path.")
        base_path = self.base_path.resolve()
        return [f"--model_name={self.name}", f"--model_base_path={base_path}", *self.flags]

    def shown(self) -> list[Path]:
        """Folders that the server reads; of the config file, which others replace, its folder."""
        own = [self.config_file.resolve().parent] if self.config_file else []
        paths = (*own, *(path.resolve() for path in self._listed().values()))
        return list(dict.fromkeys(paths))


@dataclass(frozen=True)
class Program:
    """A server that can be started.

    Attributes:
        version: as it says itself.
        container: its name, for Docker.
    """

    kind: Kind
    version: str
    image: str = IMAGE
    container: str = field(default_factory=lambda: f"sortline-{secrets.token_hex(6)}")

    def command(self, models: Models, port: int, rest_port: int) -> list[str]:
        """What to execute; ports of 0 only for the stand-in, which says what it took."""
        listen = [f"--port={port}", f"--rest_api_port={rest_port}"]
        match self.kind:
            case "tensorflow_model_server":
                return [REAL, *listen, *_REAL_FLAGS, *models.arguments()]
            case "docker":
                return [*self._docker(models, port, rest_port), *_REAL_FLAGS, *models.arguments()]
        module = "sortline.standin.model_server"
        return [sys.executable, "-m", module, *listen, *models.arguments()]

    def _docker(self, models: Models, port: int, rest_port: int) -> list[str]:
        published = (
            f"127.0.0.1:{port}:{_CONTAINER_GRPC}",
            f"127.0.0.1:{rest_port}:{_CONTAINER_REST}",
        )
        # At the same paths inside: a model config file then means the same to both.
        mounts = [f"--volume={path}:{path}:ro" for path in models.shown()]
        ports = [f"--publish={address}" for address in published]
        entry = f"--entrypoint={REAL}"
        own = [f"--port={_CONTAINER_GRPC}", f"--rest_api_port={_CONTAINER_REST}"]
        name = f"--name={self.container}"
        # An init: the first process of a container has no SIGTERM otherwise.
        return ["docker", "run", "--rm", "--init", name, *ports, *mounts, entry, self.image, *own]

    def end(self) -> None:
        """End what outlives the process that was started: the container."""
        if self.kind == "docker":
            _said(["docker", "rm", "--force", self.container], _ASK_S)


def _said(command: Sequence[str], timeout_s: float) -> str | None:
    """What a command prints; None when it is not there, fails or takes too long."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout + done.stderr


def _version_in(text: str) -> str:
    match = re.search(r"ModelServer:\s*(\S+)", text)
    return match[1] if match else "unknown"


def _from_path() -> Program | None:
    if shutil.which(REAL) is None:
        return None
    output = _said([REAL, "--version"], _ASK_S)
    return None if output is None else Program(REAL, _version_in(output))


def _from_docker(image: str) -> Program | None:
    if shutil.which("docker") is None or _said(["docker", "version"], _ASK_S) is None:
        return None
    there = _said(["docker", "image", "inspect", image], _ASK_S)
    if there is None and _said(["docker", "pull", "--quiet", image], _PULL_S) is None:
        return None
    command = ["docker", "run", "--rm", f"--entrypoint={REAL}", image, "--version"]
    output = _said(command, _PULL_S)
    return None if output is None else Program("docker", _version_in(output), image)


def _stand_in() -> Program:
    tensorflow = importlib.metadata.version("tensorflow")
    return Program("stand-in", f"sortline {sortline.__version__}, tensorflow {tensorflow}")


def choose_program(image: str = IMAGE) -> Program:
    """The first of the three that can be had here; see this module.

    `SORTLINE_MODEL_SERVER` in the environment names one of them, and no other is tried then.

    Raises:
        ServingError: the one that is asked for cannot be had.
    """
    asked = read_settings().model_server
    if asked == "stand-in":
        return _stand_in()
    if asked == REAL:
        program = _from_path()
    elif asked == "docker":
        program = _from_docker(image)
    else:
        return _from_path() or _from_docker(image) or _stand_in()
    if program is None:
        raise ServingError(
            "UNAVAILABLE",
            asked,
            f"SORTLINE_MODEL_SERVER asks for {asked!r}, which does not answer here."
            " Unset it to take the first model server that does.",
        )
    return program
