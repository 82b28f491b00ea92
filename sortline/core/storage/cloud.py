"""Storage in Google Cloud Storage or Azure, by obstore, with each provider's usual credentials."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from sortline.core.storage.base import Limits, MakeError, SmallFile, Storage

if TYPE_CHECKING:
    from obstore import UpdateVersion
    from obstore.store import ObjectStore

_ATTEMPTS: Final = 3
_WHOLE_REQUEST: Final = (
    "1day"  # A large file takes as long as it takes; stalls are what is limited.
)


def open_cloud(address: str, limits: Limits, error: MakeError) -> "CloudStorage":
    """The storage at `gs://bucket/prefix` or `az://container/prefix`."""
    import obstore
    from obstore.store import from_url

    timeout = f"{limits.timeout_s:g}s"
    try:
        store = from_url(
            address,
            client_options={
                "connect_timeout": timeout,
                "read_timeout": timeout,
                "timeout": _WHOLE_REQUEST,
            },
            retry_config={"max_retries": (limits.attempts or _ATTEMPTS) - 1},
        )
    except (obstore.exceptions.BaseError, ValueError) as reason:
        raise error(f"{address} cannot be reached: {str(reason).splitlines()[0]}") from reason
    return CloudStorage(address, store, error)


class CloudStorage(Storage):
    """Objects below a prefix; a tag is an ETag and, where there is one, a generation."""

    def __init__(self, address: str, store: "ObjectStore", error: MakeError) -> None:
        self.address, self._store, self._error = address.rstrip("/"), store, error

    @contextmanager
    def _named(self, what: str) -> Iterator[None]:
        import obstore

        try:
            yield
        except (obstore.exceptions.BaseError, FileNotFoundError, ValueError) as error:
            seen = str(error).splitlines()[0].rstrip(".")  # What follows is for obstore's authors.
            raise self._error(
                f"{self.address}: {what} failed: {seen}. Check the address and the credentials;"
                " then run the same command again."
            ) from error

    def names(self, folder: str = "") -> list[str]:
        """See Storage."""
        import obstore

        with self._named("listing objects"):
            return sorted(entry["path"] for entry in obstore.list(self._store, folder).collect())

    def read(self, name: str) -> SmallFile | None:
        """See Storage."""
        import obstore

        with self._named(f"reading {name}"):
            try:
                reply = obstore.get(self._store, name)
            except FileNotFoundError:
                return None
            return SmallFile(bytes(reply.bytes()), _tag(reply.meta["e_tag"], reply.meta["version"]))

    def _chunks(self, name: str) -> Iterator[bytes]:
        import obstore

        with self._named(f"reading {name}"):
            for chunk in obstore.get(self._store, name).stream():
                yield bytes(chunk)

    def sha256(self, name: str) -> str:
        """See Storage."""
        digest = hashlib.sha256()
        for chunk in self._chunks(name):
            digest.update(chunk)
        return digest.hexdigest()

    def save(self, name: str, target: Path) -> None:
        """See Storage."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for chunk in self._chunks(name):
                file.write(chunk)

    def create(self, name: str, data: bytes) -> bool:
        """See Storage."""
        import obstore

        with self._named(f"writing {name}"):
            try:
                obstore.put(self._store, name, data, mode="create")
            except obstore.exceptions.AlreadyExistsError:
                return False
        return True

    def replace(self, name: str, data: bytes, tag: str | None) -> str:
        """See Storage."""
        import obstore

        with self._named(f"writing {name}"):
            mode: Literal["create"] | UpdateVersion = "create" if tag is None else json.loads(tag)
            try:
                written = obstore.put(self._store, name, data, mode=mode)
            except (
                obstore.exceptions.AlreadyExistsError,
                obstore.exceptions.PreconditionError,
            ) as error:
                there = self.read(name)
                # An answer that got lost: the attempt before this one did write.
                if there and there.data == data:
                    return there.tag
                raise self._changed(name) from error
            return _tag(written["e_tag"], written["version"])

    def overwrite(self, name: str, data: bytes) -> None:
        """See Storage."""
        import obstore

        with self._named(f"writing {name}"):
            obstore.put(self._store, name, data)

    def put(self, name: str, source: Path, sha256: str = "") -> None:  # noqa: ARG002
        """See Storage."""
        import obstore

        with self._named(f"writing {name}"):
            obstore.put(self._store, name, source)

    def copy(self, name: str, target: str) -> None:
        """See Storage."""
        import obstore

        with self._named(f"copying {name} to {target}"):
            obstore.copy(self._store, name, target)

    def delete(self, name: str) -> None:
        """See Storage."""
        import obstore

        with self._named(f"removing {name}"):
            try:
                obstore.delete(self._store, name)
            except FileNotFoundError:
                return


def _tag(e_tag: str | None, version: str | None) -> str:
    parts = {"e_tag": e_tag, "version": version}
    return json.dumps({name: value for name, value in parts.items() if value is not None})
