"""What every kind of storage can do."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from tqdm import tqdm

from sortline.core.errors import BusyError, SortlineError

MakeError = Callable[[str], SortlineError]


@dataclass(frozen=True)
class SmallFile:
    """A file that is read as a whole.

    Attributes:
        data: its bytes.
        tag: changes whenever the bytes do; for `replace` and `remove`.
    """

    data: bytes
    tag: str


@dataclass(frozen=True)
class Limits:
    """How long a storage on the network may take.

    Attributes:
        timeout_s: for a connection, and for each part of an answer.
        attempts: of one request, the first included; None: as the provider's own settings say
            (AWS_MAX_ATTEMPTS), else 3.
    """

    timeout_s: float = 60.0
    attempts: int | None = None


class Storage(ABC):
    """Files below a folder or a bucket's prefix; names are relative to it, with `/`.

    All methods raise the error that `open_storage` was given when the storage does not do what it
    is asked; the message names the address and what was tried.
    """

    address: str
    _error: MakeError

    def is_missing(self) -> bool:
        """Whether it is a folder that is not there; buckets are not asked."""
        return False

    @abstractmethod
    def names(self, folder: str = "") -> list[str]:
        """Names of all files below a folder, sorted; none when there is no such folder."""

    @abstractmethod
    def read(self, name: str) -> SmallFile | None:
        """A file; None when there is none. Asks for the right to read, and no other."""

    @abstractmethod
    def sha256(self, name: str) -> str:
        """SHA-256 of a file, in hex, of the bytes as they are read back."""

    @abstractmethod
    def save(self, name: str, target: Path) -> None:
        """Copy a file to a local path."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Write a file, whole, if there is none of that name; else False.

        Asks for the right to add, and no other. Where requests are repeated, False can also mean
        that the answer to an earlier attempt got lost.
        """

    @abstractmethod
    def replace(self, name: str, data: bytes, tag: str | None) -> str:
        """Write a file if it still has this tag (None: if there is none); the new tag.

        Raises:
            BusyError: somebody else has written, made or removed it in between.
        """

    @abstractmethod
    def overwrite(self, name: str, data: bytes) -> None:
        """Write a file, whole, whether there was one or not."""

    @abstractmethod
    def put(self, name: str, source: Path, sha256: str = "") -> None:
        """Copy a local file into the storage; S3 compares the digest, when one is given."""

    @abstractmethod
    def copy(self, name: str, target: str) -> None:
        """Copy a file inside the storage."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""

    def remove(self, name: str, tag: str) -> None:
        """Remove a file, if it still has this tag; buckets are looked at just before.

        Raises:
            BusyError: somebody else has written it in between.
        """
        there = self.read(name)
        if there and there.tag != tag:
            raise self._changed(name)
        self.delete(name)

    def save_all(
        self, folder: str, target: Path, *, skip: Collection[str] = (), progress: str = ""
    ) -> None:
        """Copy all files below a folder to a local one.

        Args:
            folder: "" for all there are.
            target: is made when it is missing.
            skip: names, below the folder, of what is not wanted.
            progress: name of a progress bar; none is shown without it.

        Raises:
            SortlineError: as `error` says, also when a name leads out of `target`.
        """
        below = f"{folder}/" if folder else ""
        inner = [name.removeprefix(below) for name in self.names(folder)]
        rest = [name for name in inner if name not in skip]
        for name in tqdm(rest, desc=progress, unit="file", disable=not progress):
            if ".." in (path := PurePosixPath(name)).parts or path.is_absolute():
                raise self._error(f"{self.address} has the key {below}{name}, which is no path.")
            self.save(below + name, target / path)

    def sweep(self, older_than_s: float) -> None:  # noqa: B027 (a bucket has nothing half-written)
        """Remove what killed writers left half-written, a while ago."""

    def _changed(self, name: str) -> BusyError:
        return BusyError(
            f"{self.address}/{name} was changed by somebody else meanwhile. Nothing of theirs was"
            " overwritten. Look at what is there now, then run the command again."
        )

    def close(self) -> None:  # noqa: B027 (a folder has nothing to close)
        """Close connections, if there are any; what comes later opens new ones."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
