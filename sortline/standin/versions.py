"""Versions of a model: what state each is in, and what is to be done next.

The order is the real server's: a wanted version is loaded before an unwanted one goes, the newest
first; one that cannot be loaded never takes a serving one down.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal

from sortline.client.model_config import ModelSettings
from sortline.client.server_status import OK, Status
from sortline.standin.loading import Servable

Fingerprint = tuple[tuple[str, int, int], ...]


class State(Enum):
    """Of a version, by its number in `tensorflow.serving.ModelVersionStatus.State`."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass
class Version:
    """One version, from the moment it is wanted until it is gone.

    Attributes:
        status: why it ended; OK when nothing went wrong.
        seen: the files on which loading failed: others are worth another attempt.
        retry: whether it is to be attempted again, although it failed.
        users: calls that hold it.
    """

    number: int
    path: Path
    state: State = State.START
    status: Status = OK
    servable: Servable | None = None
    seen: Fingerprint | None = None
    retry: bool = False
    users: int = 0
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    def acquire(self) -> Servable:
        """Its servable, which stays in memory until `release`; only of an available version."""
        if self.servable is None:
            raise RuntimeError(f"version {self.number} is not loaded")
        self.users += 1
        return self.servable

    def release(self) -> None:
        """The caller of `acquire` has done with it."""
        self.users -= 1
        if not self.users:
            self._idle.set()

    async def drained(self) -> None:
        """Wait until nobody uses it; it must not be available any more."""
        while self.users:
            self._idle.clear()
            await self._idle.wait()


@dataclass
class Model:
    """All versions of a name, and which of them are wanted.

    Attributes:
        settings: None once the config list leaves the model out.
        wanted: folders by version.
        versions: newest attempt of each number.
        fault: why the base path gives nothing, for whoever waits for the model.
    """

    name: str
    settings: ModelSettings | None = None
    wanted: dict[int, Path] = field(default_factory=dict)
    versions: dict[int, Version] = field(default_factory=dict)
    fault: str = ""

    def available(self) -> dict[int, Version]:
        """Those that serve."""
        return {n: v for n, v in self.versions.items() if v.state is State.AVAILABLE}

    def listed(self) -> Iterator[Version]:
        """All that were ever wanted, newest first."""
        return (self.versions[number] for number in sorted(self.versions, reverse=True))

    def next_step(self) -> tuple[Literal["load", "unload"], int] | None:
        """What is to be done next, None when the wanted versions are as far as they can get."""
        serving = set(self.available())
        unwanted = serving - self.wanted.keys()
        if unwanted and (not self.wanted or serving & self.wanted.keys()):
            return "unload", min(unwanted)
        if missing := {n for n in self.wanted if self._is_to_load(n)}:
            return "load", max(missing)
        return None

    def _is_to_load(self, number: int) -> bool:
        version = self.versions.get(number)
        if version is None or version.retry:
            return True
        return version.state is not State.AVAILABLE and version.status == OK

    def failures(self) -> list[Version]:
        """The wanted ones that could not be loaded."""
        tried = (self.versions[number] for number in self.wanted if number in self.versions)
        return [version for version in tried if version.status != OK]


@contextmanager
def held(version: Version) -> Iterator[Servable]:
    """The version's servable for the length of the block."""
    servable = version.acquire()
    try:
        yield servable
    finally:
        version.release()


def fingerprint(folder: Path) -> Fingerprint:
    """Names, sizes and times of a folder and all in it; equal while nobody changes them."""
    try:
        stats = [(path, path.stat()) for path in (folder, *sorted(folder.rglob("*")))]
    except OSError:
        return ()
    return tuple((str(path), each.st_size, each.st_mtime_ns) for path, each in stats)


def find_versions(base_path: Path) -> dict[int, Path]:
    """Everything in a base path whose name is a number, whatever it is.

    Raises:
        OSError: the base path cannot be listed.
    """
    found = (path for path in sorted(base_path.iterdir()) if _is_number(path.name))
    return {int(path.name): path for path in found}


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and int(name) < 2**63
