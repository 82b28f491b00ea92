"""Where releases lie: a folder, or the prefix of a bucket, with the versions of one model.

<store>/<version>/             what servers load: complete, or not there
<store>/models.config          which versions are served, under which labels
<store>/_releases/<N>.json     the record of a version; the file that exists takes the number
<store>/_releases/history.json which version was `stable`, and when

Nothing beside the versions has a number for a name, so a server that polls the store passes it by.
"""

import os
import re
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sortline.core.errors import ParamsError, RefusedError, ReleaseError
from sortline.core.files import remove
from sortline.core.storage import FolderStorage, Limits, SmallFile, Storage, open_storage
from sortline.core.storage.folder import synchronise

CONFIG: Final = "models.config"
RECORDS: Final = "_releases"
GRAPH: Final = "saved_model.pb"  # The file whose presence makes a folder a version.
_PROBE: Final = f"{RECORDS}/.conditional"
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}")
_RECORD: Final = re.compile(rf"{RECORDS}/([1-9][0-9]{{0,17}})\.json")


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


def _listing(names: Collection[str]) -> Listing:
    """Sort out the names of all files of a store, relative to it."""
    parts = [name.split("/") for name in names]
    numbered = [part for part in parts if len(part) > 1 and _NUMBER.fullmatch(part[0])]
    records = (_RECORD.fullmatch(name) for name in names)
    return Listing(
        published=frozenset(int(part[0]) for part in numbered if part[1:] == [GRAPH]),
        occupied=frozenset(int(part[0]) for part in numbered),
        recorded=frozenset(int(match[1]) for match in records if match),
    )


class Store:
    """A store in a bucket: conditional writes take numbers, and one copy publishes a version.

    The graph of a version, whose presence makes it one, waits beside the records until every other
    object was read back; then the bucket copies it to its place. Before that request there is no
    version, and after it there is nothing left to do.

    All methods raise ReleaseError when the storage fails; the message names it and what was tried.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage, self.address = storage, storage.address

    def prepare(self) -> None:
        """Find out whether the server minds conditions: one that does not would mix up versions."""
        data = b"Shows whether this server minds If-None-Match.\n"
        if all(self.storage.create(_PROBE, data) for _ in range(2)):
            raise ReleaseError(
                f"{self.address}: the server overwrites an object in spite of `If-None-Match: *`;"
                " two publishers could take the same version. Use a server with conditional writes."
            )

    def list(self) -> Listing:
        """What is in it now."""
        return _listing(self.storage.names())

    def read(self, name: str) -> SmallFile | None:
        """A small file; None when there is none."""
        return self.storage.read(name)

    def write(self, name: str, data: bytes, tag: str | None) -> str:
        """Write a small file, if it still has this tag (None: if it is not there); the new tag.

        Raises:
            BusyError: somebody else has written, made or removed it in between.
        """
        return self.storage.replace(name, data, tag)

    def remove(self, name: str, tag: str) -> None:
        """Remove a small file, if it still has this tag.

        Raises:
            BusyError: somebody else has written it in between.
        """
        self.storage.remove(name, tag)

    def _waiting(self, version: int, name: str) -> str:
        """The name under which a file waits for `commit`, where no server can load the version."""
        return f"{RECORDS}/{version}.{GRAPH}" if name == GRAPH else f"{version}/{name}"

    def put(self, version: int, name: str, source: Path, sha256: str) -> None:
        """Bring a file of a version that no server can load yet; `sha256` is its digest, in hex."""
        self.storage.put(self._waiting(version, name), source, sha256)

    def digest(self, version: int, name: str) -> str:
        """SHA-256, in hex, of a file that `put` brought, read back from where it lies."""
        return self.storage.sha256(self._waiting(version, name))

    def commit(self, version: int, sha256: str) -> None:
        """Make a version visible, all at once; `sha256` is its graph's.

        The graph was read back where it waited, and the bucket has acknowledged the copy: if that
        cannot be read once more, the version stands; `promote` reads everything again.

        Raises:
            RefusedError: what became visible was not what `put` brought; it is gone again.
        """
        waiting, place = self._waiting(version, GRAPH), f"{version}/{GRAPH}"
        self.storage.copy(waiting, place)
        copied = sha256
        with suppress(ReleaseError):
            copied = self.storage.sha256(place)
        if copied != sha256:
            self.discard(version)
            raise RefusedError(
                f"{self.address}/{place} is not what was copied there: its SHA-256 is {copied}, not"
                f" {sha256}. It was removed; look after the storage, then publish again."
            )
        with suppress(ReleaseError):  # It goes with the version, then.
            self.storage.delete(waiting)

    def discard(self, version: int) -> None:
        """Remove all files of a version, visible or not; first what makes it visible."""
        self.storage.delete(f"{version}/{GRAPH}")
        for name in [*self.storage.names(str(version)), self._waiting(version, GRAPH)]:
            self.storage.delete(name)

    @contextmanager
    def fetched(self, version: int) -> Iterator[Path]:
        """A local folder with the files of a version, for the length of the block; read-only."""
        with tempfile.TemporaryDirectory(prefix="sortline-") as folder:
            self.storage.save_all(str(version), Path(folder))
            yield Path(folder)


def _below(folder: "os.DirEntry[str]") -> list[str]:
    """Names of a folder and of what is in it; none when somebody has just moved it away."""
    try:
        return [f"{folder.name}/", *(f"{folder.name}/{e.name}" for e in Path(folder).iterdir())]
    except FileNotFoundError:
        return []


class FolderStore(Store):
    """A store in a folder: a version is renamed into place when every file of it is on the disk."""

    storage: FolderStorage

    def __init__(self, storage: FolderStorage) -> None:
        super().__init__(storage)
        self._root = storage.root

    def prepare(self) -> None:
        """Make the folder, if it is not there."""
        with self.storage.named(f"making {RECORDS}"):
            (self._root / RECORDS).mkdir(parents=True, exist_ok=True)

    def list(self) -> Listing:
        """What is in it now; links count as what they lead to, empty folders take a number."""
        if self.storage.is_missing():
            raise ReleaseError(
                f"There is no store in {self.address}. `sortline publish {self.address}` makes one."
            )
        with self.storage.named("listing versions"), os.scandir(self._root) as entries:
            return _listing([name for entry in entries if entry.is_dir() for name in _below(entry)])

    def _waiting(self, version: int, name: str) -> str:
        return f".{version}.partial/{name}"

    def commit(self, version: int, sha256: str) -> None:  # noqa: ARG002
        """Rename the hidden sibling: whatever its digests were, they still are."""
        hidden, target = self._root / self._waiting(version, ""), self._root / str(version)
        with self.storage.named(f"renaming {hidden.name}"):
            for folder in [*(path for path in hidden.rglob("*") if path.is_dir()), hidden]:
                synchronise(folder)
            # A rename would replace an empty folder without a word.
            if target.exists() or target.is_symlink():
                raise FileExistsError(f"{target} is there already")
            hidden.rename(target)
            synchronise(self._root)

    def discard(self, version: int) -> None:
        """See Store."""
        visible, outgoing = self._root / str(version), self._root / f".{version}.removed.partial"
        with self.storage.named(f"removing {version}"):
            remove(outgoing)
            if visible.exists() or visible.is_symlink():
                visible.rename(outgoing)
            remove(outgoing)
            remove(self._root / self._waiting(version, ""))

    @contextmanager
    def fetched(self, version: int) -> Iterator[Path]:
        """The version's own folder."""
        yield self._root / str(version)


@contextmanager
def open_store(address: str, limits: Limits) -> Iterator[Store]:
    """For the length of the block, the store at a folder's path or a bucket's address.

    Raises:
        ParamsError: the address is neither.
    """
    lock = f"{RECORDS}/.lock"
    with open_storage(address, limits, error=ReleaseError, lock=lock) as storage:
        yield FolderStore(storage) if isinstance(storage, FolderStorage) else Store(storage)
