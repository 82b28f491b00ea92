"""The store of releases at an address."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sortline.core.errors import ParamsError
from sortline.releases.folder_store import FolderStore
from sortline.releases.s3_store import S3Store
from sortline.releases.store import Limits, Store


@contextmanager
def open_store(address: str, limits: Limits) -> Iterator[Store]:
    """For the length of the block, the store at a folder's path or `s3://bucket/prefix`.

    Raises:
        ParamsError: the address is neither.
    """
    store = _store(address, limits)
    try:
        yield store
    finally:
        store.close()


def _store(address: str, limits: Limits) -> Store:
    if address.startswith("s3://"):
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        if not bucket:
            raise ParamsError(f"{address} names no bucket. Write s3://bucket/prefix.")
        return S3Store(bucket, prefix.strip("/"), limits)
    if not address or "://" in address:
        raise ParamsError(f"{address!r} is no store. Give a folder, or s3://bucket/prefix.")
    return FolderStore(Path(address))
