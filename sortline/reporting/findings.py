"""What the steps left in a folder, read for people: a missing part is a finding, not a failure.

Each part is a `Part`: its value, or what is wrong with it and the command that makes it.
"""

import base64
import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sortline.core.git import checked_out

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_LARGE_PICTURE_BYTES = 300_000
_LISTED_FAILURES = 10
VERDICT_KEYS = ("passed", "success", "met", "ok")  # What a check may call its outcome.


@dataclass(frozen=True)
class Part:
    """One input of the report: `value` is None when it cannot be shown, `problem` says why.

    Attributes:
        path: where it is looked for, relative to the root.
        command: what makes it.
        value: what was read.
        problem: "is missing", or what is wrong with it.
    """

    path: str
    command: str
    value: Any = None
    problem: str | None = None


@dataclass(frozen=True)
class Picture:
    """An embedded picture: its data URI, and the size at which it is sharp on a 2x screen."""

    uri: str
    width: int
    height: int


def read_mapping(root: Path, path: str, command: str) -> Part:
    """A JSON or YAML file that holds a mapping."""
    try:
        text = (root / path).read_text(encoding="utf-8")
        value = (
            json.loads(text) if path.endswith(".json") else YAML(typ="safe", pure=True).load(text)
        )
    except (FileNotFoundError, NotADirectoryError):
        return Part(path, command, problem="is missing")
    except (ValueError, YAMLError, OSError) as error:
        return Part(path, command, problem=f"cannot be read ({str(error).splitlines()[0]})")
    if not isinstance(value, Mapping) or not value:
        return Part(path, command, problem="holds nothing that can be shown")
    return Part(path, command, dict(value))


def read_text(root: Path, path: str, command: str) -> Part:
    """A text file."""
    try:
        return Part(path, command, (root / path).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return Part(path, command, problem="is missing")
    except (ValueError, OSError) as error:
        return Part(path, command, problem=f"cannot be read ({error})")


def read_picture(root: Path, path: str, command: str) -> Part:
    """A PNG, as a data URI."""
    try:
        data = (root / path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return Part(path, command, problem="is missing")
    except OSError as error:
        return Part(path, command, problem=f"cannot be read ({error})")
    if not data.startswith(_PNG_MAGIC) or len(data) < 24:
        return Part(path, command, problem="is not a PNG")
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    kind, data = ("png", data) if len(data) < _LARGE_PICTURE_BYTES else _smaller(data)
    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return Part(path, command, Picture(uri, width // 2, height // 2))


def _smaller(png: bytes) -> tuple[str, bytes]:
    """A sheet of photographs as WebP, a tenth of its size: reports are sent by mail."""
    from PIL import Image

    written = io.BytesIO()
    try:
        Image.open(io.BytesIO(png)).convert("RGB").save(written, "WEBP", quality=90, method=4)
    except OSError:
        return "png", png
    return "webp", written.getvalue()


def read_failures(root: Path, path: str, command: str) -> Part:
    """The header and the first rows of a CSV, and how many rows there are."""
    try:
        with (root / path).open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except (FileNotFoundError, NotADirectoryError):
        return Part(path, command, problem="is missing")
    except (ValueError, csv.Error, OSError) as error:
        return Part(path, command, problem=f"cannot be read ({error})")
    header, body = (rows[0], rows[1:]) if rows else ([], [])
    value = {"columns": header, "rows": body[:_LISTED_FAILURES], "count": len(body)}
    return Part(path, command, value)


def checks_of(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The list of checks in a validation summary, whatever it is called; failing ones first.

    All have the same keys, in the order in which they are met; None where one has no such key.
    """
    lists = [value for value in summary.values() if isinstance(value, list) and value]
    found = next((each for each in lists if all(isinstance(row, Mapping) for row in each)), [])
    columns = dict.fromkeys(key for row in found for key in row)
    even = [{key: row.get(key) for key in columns} for row in found]
    return sorted(even, key=lambda row: not _failed(row))


def _failed(row: Mapping[str, Any]) -> bool:
    return any(row.get(key) is False for key in VERDICT_KEYS)


def folder_megabytes(folder: Path) -> float | None:
    """Size of all files below a folder in MB (10^6 bytes); None when it is not there."""
    if not folder.is_dir():
        return None
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def git_commit(root: Path) -> str | None:
    """The commit that is checked out where `root` is, with a word if files differ from it."""
    commit, changed = checked_out(root)
    return f"{commit} (with uncommitted changes)" if changed else commit
