"""A store in a folder: a version is renamed into place when every file of it is on the disk."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sortline.core.errors import BusyError, ReleaseError
from sortline.core.files import remove, sha256_file
from sortline.releases.store import RECORDS, Listing, Small, Store, listing


def _synchronise(path: Path) -> None:
    """Have the kernel write a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _named(address: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReleaseError(
            f"The store {address} failed: {error}. It has to be a folder that can be read and"
            " written, with space left. Then run the same command again."
        ) from error


def _below(folder: "os.DirEntry[str]") -> list[str]:
    """Names of a folder and of what is in it; none when somebody has just moved it away."""
    try:
        return [f"{folder.name}/", *(f"{folder.name}/{e.name}" for e in Path(folder).iterdir())]
    except FileNotFoundError:
        return []


class FolderStore(Store):
    """Versions in a folder, of this machine or shared."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self.address = str(self._root)

    def prepare(self) -> None:
        """Make the folder, if it is not there."""
        with _named(self.address):
            (self._root / RECORDS).mkdir(parents=True, exist_ok=True)

    def list(self) -> Listing:
        """What is in it now; links count as what they lead to."""
        if not self._root.is_dir():
            raise ReleaseError(
                f"There is no store in {self.address}. `sortline publish {self.address}` makes one."
            )
        with _named(self.address), os.scandir(self._root) as entries:
            return listing([name for entry in entries if entry.is_dir() for name in _below(entry)])

    def read(self, name: str) -> Small | None:
        """A small file; its tag is its SHA-256."""
        try:
            with _named(self.address):
                data = (self._root / name).read_bytes()
        except ReleaseError as error:
            if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                return None
            raise
        return Small(data, hashlib.sha256(data).hexdigest())

    @contextmanager
    def _expecting(self, name: str, tag: str | None) -> Iterator[Path]:
        # The kernel frees this lock when a process dies: it is never left behind.
        with _named(self.address), (self._root / RECORDS / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = self.read(name)
            if (found.tag if found else None) != tag:
                raise BusyError(
                    f"{self._root / name} was changed by somebody else meanwhile. Nothing of theirs"
                    " was overwritten. Look at `sortline releases`, then run the command again."
                )
            yield self._root / name

    def write(self, name: str, data: bytes, tag: str | None) -> str:
        """See Store."""
        self.prepare()
        with self._expecting(name, tag) as path:
            partial = path.with_name(f".{path.name}.partial")
            partial.write_bytes(data)
            _synchronise(partial)
            partial.replace(path)
            _synchronise(path.parent)
        return hashlib.sha256(data).hexdigest()

    def remove(self, name: str, tag: str) -> None:
        """See Store."""
        with self._expecting(name, tag) as path:
            path.unlink()
            _synchronise(path.parent)

    def _hidden(self, version: int) -> Path:
        return self._root / f".{version}.partial"

    def put(self, version: int, name: str, source: Path, sha256: str) -> None:  # noqa: ARG002
        """Copy a file into a hidden sibling of the version."""
        target = self._hidden(version) / name
        with _named(self.address):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            _synchronise(target)

    def digest(self, version: int, name: str) -> str:
        """See Store."""
        with _named(self.address):
            return sha256_file(self._hidden(version) / name)

    def commit(self, version: int, sha256: str) -> None:  # noqa: ARG002
        """Rename the hidden sibling: whatever its digests were, they still are."""
        hidden, target = self._hidden(version), self._root / str(version)
        with _named(self.address):
            for folder in [*(path for path in hidden.rglob("*") if path.is_dir()), hidden]:
                _synchronise(folder)
            # A rename would replace an empty folder without a word.
            if target.exists() or target.is_symlink():
                raise FileExistsError(f"{target} is there already")
            hidden.rename(target)
            _synchronise(self._root)

    def discard(self, version: int) -> None:
        """See Store."""
        visible, outgoing = self._root / str(version), self._root / f".{version}.removed.partial"
        with _named(self.address):
            remove(outgoing)
            if visible.exists() or visible.is_symlink():
                visible.rename(outgoing)
            remove(outgoing)
            remove(self._hidden(version))

    def fetched(self, version: int) -> Any:
        """The version's own folder."""
        return nullcontext(self._root / str(version))
