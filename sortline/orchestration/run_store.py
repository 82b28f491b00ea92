"""Plans, done-manifests and records: small files in a folder or a bucket, written whole."""

import json
from pathlib import Path
from typing import Any

from sortline.core.errors import ArtifactError, UnreachableError
from sortline.core.storage import open_storage


def safe_name(run_id: str) -> str:
    """A run's id as a folder's, a branch's and a label's name may be."""
    name = "".join(char if char.isascii() and char.isalnum() else "-" for char in run_id)
    return name.strip("-")


class RunStore:
    """Files of all runs, by name.

    Raises:
        ParamsError: the address is none of a storage.
        UnreachableError: of every method, when the storage does not answer.
        ArtifactError: of every method, when a file is not JSON.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._storage = open_storage(address, error=UnreachableError)

    def read(self, name: str) -> Any:
        """The JSON value of a file; None when there is none of that name."""
        file = self._storage.read(name)
        try:
            return None if file is None else json.loads(file.data)
        except ValueError as error:
            raise ArtifactError(
                f"{self.address}/{name} is not JSON ({error}). Remove it; then run again."
            ) from error

    def write(self, name: str, value: Any) -> None:
        """Write a JSON file, whole or not at all."""
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        self._storage.overwrite(name, text.encode())

    def names(self, folder: str) -> list[str]:
        """Names of the files below a folder, sorted."""
        return self._storage.names(folder)

    def put(self, source: Path, folder: str) -> None:
        """Copy a local file or folder to `folder`/NAME."""
        files = [source] if source.is_file() else [p for p in source.rglob("*") if p.is_file()]
        for path in files:
            self._storage.put(f"{folder}/{path.relative_to(source.parent).as_posix()}", path)

    def get(self, folder: str, target: Path) -> None:
        """Copy everything below a folder into a local one."""
        self._storage.save_all(folder, target)
