"""The feature cache as a whole: what it holds, what it saved, what goes when it is too large."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from sortline.core.settings import read_settings
from sortline.training.feature_store import NETWORK_SUFFIX, SUFFIX

_ABANDONED_S: Final = 3600.0
_USES: Final = "uses.jsonl"


@dataclass(frozen=True)
class SpaceSummary:
    """What is kept of one network and cut.

    Attributes:
        name: of its folder.
        identity: what its rows are features of.
        shards: number of files.
        size_bytes: of all of them, and of the converted network.
        used: when a row was last read or written, seconds since 1970.
    """

    name: str
    identity: Mapping[str, Any]
    shards: int
    size_bytes: int
    used: float


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The shards of a space, and networks that were converted to compute its rows."""
    # Unlike iterdir(), glob() is silent about a folder that was cleared, or is not ours to read.
    for path in folder.glob("*"):
        if path.suffix in (SUFFIX, NETWORK_SUFFIX) and not path.name.startswith("."):
            try:
                yield path, path.stat()
            except FileNotFoundError:  # Evicted by somebody else.
                continue


def _parsed(text: str) -> dict[str, Any]:
    """A JSON object; empty where a full disk or a power failure cut it off."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def summarize(cache: Path) -> list[SpaceSummary]:
    """Every space, the most recently used first."""
    spaces = []
    for path in cache.glob("*/space.json"):
        files = dict(_files(path.parent))
        spaces.append(
            SpaceSummary(
                path.parent.name,
                _parsed(path.read_text(encoding="utf-8")),
                sum(file.suffix == SUFFIX for file in files),
                sum(stat.st_size for stat in files.values()),
                max((stat.st_mtime for stat in files.values()), default=0.0),
            )
        )
    return sorted(spaces, key=lambda space: -space.used)


def record(cache: Path, use: Any) -> None:
    """Note what a use found and computed; a cache that cannot be written to is not told."""
    line = json.dumps({"time": round(time.time()), **asdict(use)}) + "\n"
    with contextlib.suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / _USES).open("a", encoding="utf-8") as file:
            file.write(line)


def uses(cache: Path) -> list[dict[str, Any]]:
    """Every use, oldest first."""
    path = cache / _USES
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [parsed for line in lines if (parsed := _parsed(line))]


def evict(cache: Path, keep: Sequence[Path]) -> list[Path]:
    """Remove the files that were not used for longest, until the cache has the size it may have.

    Args:
        cache: folder of all spaces.
        keep: spaces in use, of which nothing is removed.

    Returns:
        What was removed.
    """
    for path in cache.glob("*/.*"):  # Of writers that were killed.
        with contextlib.suppress(OSError):  # Another run removes it, too, or it is not ours.
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                path.unlink()
    files = [file for folder in cache.glob("*/") for file in _files(folder)]
    size, limit = sum(stat.st_size for _, stat in files), read_settings().cache_gb * 1e9
    removed = []
    for path, stat in sorted(files, key=lambda file: file[1].st_mtime):
        if size <= limit:
            break
        if path.parent not in keep:
            with contextlib.suppress(OSError):  # Nor is a cache that may only be read.
                path.unlink(missing_ok=True)
                size -= stat.st_size
                removed.append(path)
    return removed


def clear(cache: Path) -> None:
    """Remove all features, and the record of their uses."""
    if cache.is_dir():
        shutil.rmtree(cache)
