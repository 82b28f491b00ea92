"""DVC: its commands, the dataset that a .dvc file pins, and dvc.lock."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sortline.core.errors import DataError, SortlineError, UnreachableError
from sortline.core.programs import MINUTES_30, captured, last_lines, streamed

_STEP_STATUS: Final = re.compile(r"exited with (-?\d+)")
_KILLED_BY_SHELL: Final = 128


def dvc(folder: Path, *arguments: str, **extra: str) -> None:
    """Run a DVC command, and sort its failures into ours and those of the world.

    Raises:
        SortlineError: a step refused, or has a defect: the same command would end the same way.
        UnreachableError: a step was killed, or DVC itself failed, for example on its remote.
    """
    done = streamed(folder, [sys.executable, "-m", "dvc", *arguments], **extra)
    if done.status == 0:
        return
    what = f"`dvc {' '.join(arguments)}` failed; the last lines were:\n{done.tail}"
    statuses = [int(status) for status in _STEP_STATUS.findall(done.tail)]
    lost = statuses and statuses[-1] == UnreachableError.exit_code
    if statuses and not lost and 0 < statuses[-1] < _KILLED_BY_SHELL:
        raise SortlineError(f"{what}\nThe step's own message, above, says what to change.")
    raise UnreachableError(f"{what}\nIt may work when it is run again.")


def dvc_output(folder: Path, *arguments: str, error: type[SortlineError] = SortlineError) -> str:
    """What a DVC command prints that does its work in this repository alone.

    Args:
        folder: where it runs.
        arguments: of DVC.
        error: what a failure is raised as.

    Raises:
        SortlineError: it failed.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    done = captured(folder, command, timeout_s=MINUTES_30)
    if done.returncode != 0:
        message = last_lines(done.stderr) or f"exit status {done.returncode}"  # --quiet says none.
        raise error(f"`dvc {' '.join(arguments)}` failed: {message}.")
    return done.stdout.decode(errors="replace")


@dataclass(frozen=True)
class Pin:
    """A dataset's revision: its MD5, as DVC counts it, and the text of its data.dvc."""

    digest: str
    text: str


def first_out(content: Any) -> dict[str, Any]:
    """What a .dvc file pins (path, md5, size, nfiles), of its parsed content; {} for nothing."""
    outs = content.get("outs") if isinstance(content, Mapping) else None
    first = outs[0] if isinstance(outs, list) and outs else None
    return dict(first) if isinstance(first, Mapping) else {}


def parse_pin(text: str, source: str) -> Pin:
    """The dataset that the text of a data.dvc pins; `source` names it in messages.

    Raises:
        DataError: it pins none.
    """
    try:
        digest = first_out(YAML(typ="safe", pure=True).load(text)).get("md5")
    except YAMLError as error:
        raise DataError(f"{source} is not YAML ({error}). Run `dvc add data`.") from error
    if not digest:
        raise DataError(f"{source} pins no dataset. Run `dvc add data`.")
    return Pin(str(digest), text)


def read_pin(path: Path) -> Pin:
    """The dataset that a data.dvc pins.

    Raises:
        DataError: there is no such file, or it pins none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(
            f"There is no {path.name}. Run `dvc add data`, and commit data.dvc."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Run `dvc add data`.") from error
    return parse_pin(text, path.name)


def find_pin(path: Path) -> str | None:
    """The MD5 that a .dvc file pins, for records that do without; None where there is none."""
    try:
        return read_pin(path).digest
    except DataError:
        return None


def write_lock(folder: Path, stages: Mapping[str, Any]) -> None:
    """Write a dvc.lock that holds exactly these stages, the same bytes for the same stages."""
    with (folder / "dvc.lock").open("w", encoding="utf-8") as file:
        YAML().dump({"schema": "2.0", "stages": dict(stages)}, file)


def read_lock(folder: Path) -> dict[str, Any]:
    """The stages of dvc.lock; none when there is no such file."""
    path = folder / "dvc.lock"
    if not path.is_file():
        return {}
    stages: dict[str, Any] = YAML(typ="safe").load(path)["stages"]
    return stages
