"""Plans, done-manifests and records: small files in a folder or a bucket, written whole."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from sortline.core.artifacts import write_text
from sortline.core.errors import ArtifactError, UnreachableError


def safe_name(run_id: str) -> str:
    """A run's id as a folder's, a branch's and a label's name may be."""
    kept = "".join(each if each.isascii() and each.isalnum() else "-" for each in run_id)
    return kept.strip("-")


class RunStore:
    """Files of all runs, by name.

    Raises:
        UnreachableError: of every method, when the storage does not answer.
        ArtifactError: of every method, when a file is not JSON.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        try:
            self._files, self._root = fsspec.core.url_to_fs(
                address, skip_instance_cache=True, use_listings_cache=False
            )
        except (ImportError, ValueError) as error:
            raise ArtifactError(f"{address} cannot be reached: {error}.") from error

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    @contextmanager
    def _reaching(self, name: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError

        try:
            yield
        except (OSError, BotoCoreError) as error:
            raise UnreachableError(
                f"{self.address}/{name} cannot be read or written: {error}. Check the address, the"
                " credentials and the network; then run the same command again."
            ) from error

    def read(self, name: str) -> Any:
        """The JSON value of a file; None when there is none of that name."""
        with self._reaching(name):
            try:
                text = self._files.cat_file(self._path(name)).decode()
            except FileNotFoundError:
                return None
        try:
            return json.loads(text)
        except ValueError as error:
            raise ArtifactError(
                f"{self.address}/{name} is not JSON ({error}). Remove it; then run again."
            ) from error

    def write(self, name: str, value: Any) -> None:
        """Write a JSON file, whole or not at all."""
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        with self._reaching(name):
            if isinstance(self._files, LocalFileSystem):
                write_text(Path(self._path(name)), text)
            else:
                self._files.pipe_file(self._path(name), text.encode())

    def names(self, folder: str) -> list[str]:
        """Names of the files below a folder, sorted."""
        with self._reaching(folder):
            self._files.invalidate_cache()
            found = self._files.find(self._path(folder))
        return sorted(path.removeprefix(self._path("")) for path in found)

    def put(self, source: Path, folder: str) -> None:
        """Copy a local file or folder to `folder`/NAME."""
        files = [source] if source.is_file() else [p for p in source.rglob("*") if p.is_file()]
        for path in files:
            name = f"{folder}/{path.relative_to(source.parent).as_posix()}"
            with self._reaching(name):
                self._files.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
                self._files.put_file(str(path), self._path(name))

    def get(self, folder: str, target: Path) -> None:
        """Copy everything below a folder into a local one."""
        for name in self.names(folder):
            path = target / name.removeprefix(f"{folder}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._reaching(name):
                self._files.get_file(self._path(name), str(path))
