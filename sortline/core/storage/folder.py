"""Storage in a folder, of this machine or shared."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sortline.core.files import sha256_file
from sortline.core.storage.base import MakeError, SmallFile, Storage


def synchronise(path: Path) -> None:
    """Have the kernel write a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class FolderStorage(Storage):
    """Files in a folder; a tag is the SHA-256 of the bytes.

    Conditions hold among processes that lock the same file by `flock`: on one machine, and on NFS
    from version 4 (Linux sends these locks to the server). The kernel frees a dead process's lock.
    """

    def __init__(self, root: Path, error: MakeError, lock: str = ".lock") -> None:
        self.root = root.absolute()
        self.address, self._error, self._lock = str(self.root), error, lock

    @contextmanager
    def named(self, what: str) -> Iterator[None]:
        """Raise what the system says of the block as the error that the opener asked for."""
        try:
            yield
        except OSError as error:
            raise self._error(
                f"{self.address}: {what} failed: {error}. It has to be a folder that can be read"
                " and written, with space left; then run the same command again."
            ) from error

    def is_missing(self) -> bool:
        """See Storage."""
        return not self.root.is_dir()

    def names(self, folder: str = "") -> list[str]:
        """See Storage; what is not complete yet is not counted."""
        top, files = self.root / folder, []
        with self.named("listing files"):
            for inside, _, names in os.walk(top):
                below = Path(inside).relative_to(self.root).as_posix()
                files += [name if below == "." else f"{below}/{name}" for name in names]
        lock = f"/{self._lock}"
        return sorted(n for n in files if not n.endswith(".partial") and f"/{n}" != lock)

    def read(self, name: str) -> SmallFile | None:
        """See Storage."""
        with self.named(f"reading {name}"):
            try:
                data = (self.root / name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return SmallFile(data, hashlib.sha256(data).hexdigest())

    def sha256(self, name: str) -> str:
        """See Storage."""
        with self.named(f"reading {name}"):
            return sha256_file(self.root / name)

    def save(self, name: str, target: Path) -> None:
        """See Storage."""
        with self.named(f"reading {name}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.root / name, target)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self.root / self._lock
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _written(self, name: str) -> Iterator[Path]:
        """A path to write, of this writer alone; the folder is synchronised after the block."""
        target = self.root / name
        partial = target.with_name(f".{target.name}.{uuid4().hex}.partial")
        with self.named(f"writing {name}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                yield partial
                synchronise(target.parent)
            finally:
                partial.unlink(missing_ok=True)

    def create(self, name: str, data: bytes) -> bool:
        """See Storage; a hard link is atomic on every file system that has them, NFS too."""
        target = self.root / name
        with self._written(name) as partial:
            partial.write_bytes(data)
            synchronise(partial)
            try:
                target.hardlink_to(partial)
            except FileExistsError:
                return False
            except OSError:  # A file system without hard links.
                with self._locked():
                    if target.exists():
                        return False
                    partial.replace(target)
        return True

    def _check_tag(self, name: str, tag: str) -> None:
        there = self.read(name)
        if there is None or there.tag != tag:
            raise self._changed(name)

    def replace(self, name: str, data: bytes, tag: str | None) -> str:
        """See Storage."""
        if tag is None:
            if not self.create(name, data):
                raise self._changed(name)
        else:
            with self.named(f"writing {name}"), self._locked():
                self._check_tag(name, tag)
                self.overwrite(name, data)
        return hashlib.sha256(data).hexdigest()

    def overwrite(self, name: str, data: bytes) -> None:
        """See Storage."""
        with self._written(name) as partial:
            partial.write_bytes(data)
            synchronise(partial)
            partial.replace(self.root / name)

    def put(self, name: str, source: Path, sha256: str = "") -> None:  # noqa: ARG002
        """See Storage."""
        with self._written(name) as partial:
            shutil.copyfile(source, partial)
            synchronise(partial)
            partial.replace(self.root / name)

    def copy(self, name: str, target: str) -> None:
        """See Storage."""
        self.put(target, self.root / name)

    def delete(self, name: str) -> None:
        """See Storage."""
        with self.named(f"removing {name}"):
            (self.root / name).unlink(missing_ok=True)

    def remove(self, name: str, tag: str) -> None:
        """See Storage."""
        with self.named(f"removing {name}"), self._locked():
            self._check_tag(name, tag)
            (self.root / name).unlink()
            synchronise((self.root / name).parent)

    def sweep(self, older_than_s: float) -> None:
        """See Storage."""
        with self.named("removing half-written files"):
            for path in self.root.rglob(".*.partial"):
                if path.is_file() and time.time() - path.stat().st_mtime > older_than_s:
                    path.unlink(missing_ok=True)
