"""Where releases lie: what a folder and a bucket have in common.

<store>/<version>/             what servers load: complete, or not there
<store>/models.config          which versions are served, under which labels
<store>/_releases/<N>.json     the record of a version; the file that exists takes the number
<store>/_releases/history.json which version was `stable`, and when

Nothing beside the versions has a number for a name, so a server that polls the store passes it by.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sortline.core.errors import ParamsError

CONFIG: Final = "models.config"
RECORDS: Final = "_releases"
GRAPH: Final = "saved_model.pb"  # The file whose presence makes a folder a version.
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}")
_RECORD: Final = re.compile(rf"{RECORDS}/([1-9][0-9]{{0,17}})\.json")


@dataclass(frozen=True)
class Small:
    """A small file of the store's own.

    Attributes:
        data: its bytes.
        tag: changes whenever the bytes do.
    """

    data: bytes
    tag: str


@dataclass(frozen=True)
class Listing:
    """What is in a store.

    Attributes:
        published: versions with a graph, whoever put them there.
        occupied: all numbers that name a folder, also one that is not complete.
        recorded: all numbers that have a record.
    """

    published: frozenset[int]
    occupied: frozenset[int]
    recorded: frozenset[int]


def record_name(version: int) -> str:
    """The small file that is the record of a version."""
    return f"{RECORDS}/{version}.json"


def parse_version(text: str) -> int:
    """A version's number.

    Raises:
        ParamsError: it is not a whole number from 1, in plain digits.
    """
    if not _NUMBER.fullmatch(text):
        raise ParamsError(f"{text!r} is not a version; versions are whole numbers from 1.")
    return int(text)


def listing(names: Collection[str]) -> Listing:
    """Sort out the names of all files of a store, relative to it."""
    parts = [name.split("/") for name in names]
    numbered = [part for part in parts if len(part) > 1 and _NUMBER.fullmatch(part[0])]
    records = (_RECORD.fullmatch(name) for name in names)
    return Listing(
        published=frozenset(int(part[0]) for part in numbered if part[1:] == [GRAPH]),
        occupied=frozenset(int(part[0]) for part in numbered),
        recorded=frozenset(int(match[1]) for match in records if match),
    )


class Store(ABC):
    """A folder or a bucket's prefix that holds the versions of one model.

    All methods raise ReleaseError when the store fails; the message names it and what was tried.
    """

    address: str

    @abstractmethod
    def prepare(self) -> None:
        """Make sure that it can be written to, and that writes can be made conditional."""

    @abstractmethod
    def list(self) -> Listing:
        """What is in it now."""

    @abstractmethod
    def read(self, name: str) -> Small | None:
        """A small file; None when there is none."""

    @abstractmethod
    def write(self, name: str, data: bytes, tag: str | None) -> str:
        """Write a small file, if it still has this tag (None: if it is not there); the new tag.

        Raises:
            BusyError: somebody else has written, made or removed it in between.
        """

    @abstractmethod
    def remove(self, name: str, tag: str) -> None:
        """Remove a small file, if it still has this tag.

        Raises:
            BusyError: somebody else has written it in between.
        """

    @abstractmethod
    def put(self, version: int, name: str, source: Path, sha256: str) -> None:
        """Bring a file of a version that no server can load yet; `sha256` is its digest, in hex."""

    @abstractmethod
    def digest(self, version: int, name: str) -> str:
        """SHA-256, in hex, of a file that `put` brought, read back from where it lies."""

    @abstractmethod
    def commit(self, version: int, sha256: str) -> None:
        """Make a version visible, all at once; `sha256` is its graph's.

        Raises:
            RefusedError: what became visible was not what `put` brought; it is gone again.
        """

    @abstractmethod
    def discard(self, version: int) -> None:
        """Remove all files of a version, visible or not; first what makes it visible."""

    def close(self) -> None:  # noqa: B027 (a folder has nothing to close)
        """Close connections, if there are any; the store can still be used, and opens new ones."""

    @abstractmethod
    def fetched(self, version: int) -> AbstractContextManager[Path]:
        """A local folder with the files of a version, for the length of the block; read-only."""


@dataclass(frozen=True)
class Limits:
    """How long a store may take.

    Attributes:
        timeout_s: for a connection, and for each part of an answer.
        attempts: of one request, the first included.
    """

    timeout_s: float
    attempts: int
