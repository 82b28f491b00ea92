"""A store in a bucket: conditional writes take numbers, and one copy inside S3 publishes a version.

The graph of a version, whose presence makes it one, waits beside the records until every other
object was read back; then S3 copies it to its place. Before that request there is no version, and
after it there is nothing left to do.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Final

from sortline.core.errors import BusyError, RefusedError, ReleaseError
from sortline.releases.s3_bucket import Bucket
from sortline.releases.store import (
    GRAPH,
    RECORDS,
    Limits,
    Listing,
    Small,
    Store,
    listing,
)

_PROBE: Final = f"{RECORDS}/.conditional"


class S3Store(Store):
    """Versions below a prefix of a bucket."""

    def __init__(self, bucket: str, prefix: str, limits: Limits) -> None:
        self.bucket = Bucket(bucket, prefix, limits)
        self.address, self._attempts = self.bucket.address, limits.attempts

    def close(self) -> None:
        """See Store."""
        self.bucket.close()

    def list(self) -> Listing:
        """What is in it now."""
        return listing(self.bucket.names())

    def read(self, name: str) -> Small | None:
        """A small file; its tag is its ETag."""
        return self.bucket.read(name)

    def prepare(self) -> None:
        """Find out whether the server minds conditions: one that does not would mix up versions."""
        data = b"Shows whether this server minds If-None-Match.\n"
        if all(self.bucket.put_if(_PROBE, data, None) for _ in range(2)):
            raise ReleaseError(
                f"{self.address}: the server overwrites an object in spite of `If-None-Match: *`;"
                " two publishers could take the same version. Use a server with conditional writes."
            )

    def write(self, name: str, data: bytes, tag: str | None) -> str:
        """See Store."""
        for _ in range(self._attempts):
            if written := self.bucket.put_if(name, data, tag):
                return written
            found = self.read(name)
            # An answer that got lost: the attempt before this one did write.
            if found and found.data == data:
                return found.tag
            if (found.tag if found else None) != tag:
                break
        raise BusyError(
            f"{self.address}/{name} was changed by somebody else meanwhile. Nothing of theirs was"
            " overwritten. Look at `sortline releases`, then run the command again."
        )

    def remove(self, name: str, tag: str) -> None:
        """See Store; not every server can make this conditional, so it is looked at just before."""
        found = self.read(name)
        if found and found.tag != tag:
            raise BusyError(f"{self.address}/{name} was changed by somebody else meanwhile.")
        self.bucket.delete(name)

    @staticmethod
    def _waiting(version: int, name: str) -> str:
        return f"{RECORDS}/{version}.{GRAPH}" if name == GRAPH else f"{version}/{name}"

    def put(self, version: int, name: str, source: Path, sha256: str) -> None:
        """Upload a file; the graph to where it waits. S3 compares the digest, too."""
        self.bucket.put_file(self._waiting(version, name), source, sha256)

    def digest(self, version: int, name: str) -> str:
        """See Store."""
        return self.bucket.sha256(self._waiting(version, name))

    def commit(self, version: int, sha256: str) -> None:
        """Copy the graph to its place, inside S3, and look at it there.

        It was read back where it waited, and S3 has acknowledged the copy: if it cannot be read
        once more, the version stands; `promote` reads everything again.
        """
        waiting, place = self._waiting(version, GRAPH), f"{version}/{GRAPH}"
        self.bucket.copy(waiting, place)
        found = sha256
        with suppress(ReleaseError):
            found = self.bucket.sha256(place)
        if found != sha256:
            self.discard(version)
            raise RefusedError(
                f"{self.address}/{place} is not what was copied there: its SHA-256 is {found}, not"
                f" {sha256}. It was removed; look after the storage, then publish again."
            )
        with suppress(ReleaseError):  # It goes with the version, then.
            self.bucket.delete(waiting)

    def discard(self, version: int) -> None:
        """See Store."""
        self.bucket.delete(f"{version}/{GRAPH}")
        for name in [*self.bucket.names(f"{version}/"), self._waiting(version, GRAPH)]:
            self.bucket.delete(name)

    @contextmanager
    def fetched(self, version: int) -> Iterator[Path]:
        """A temporary folder with all objects of the version."""
        with tempfile.TemporaryDirectory(prefix="sortline-") as folder:
            for name in self.bucket.names(f"{version}/"):
                path = PurePosixPath(name.removeprefix(f"{version}/"))
                if ".." in path.parts or path.is_absolute():
                    raise RefusedError(f"{self.address} has the key {name}, which is no path.")
                if not name.endswith("/"):  # Those mark folders.
                    self.bucket.save(name, Path(folder) / path)
            yield Path(folder)
