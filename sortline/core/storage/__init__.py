"""The one way to storage: a folder, `s3://`, `gs://` or `az://`; nothing else looks at a scheme.

    with open_storage("s3://bucket/prefix", error=ReleaseError) as storage:
        storage.create("records/1.json", data)

S3 is reached by boto3, Google Cloud Storage and Azure by obstore. obstore 0.12 was tried for S3,
too: one key with an empty segment (`glass//1.jpg`) or a control character makes a whole prefix
unreadable, the zero-byte marks of folders are listed as files, a missing bucket looks like a
missing object, AWS_CA_BUNDLE and the addresses of ~/.aws/config are not seen, and an
AWS_ENDPOINT_URL without a scheme makes it panic. Pictures come from other people's buckets, so
boto3 stays.
"""

from pathlib import Path
from typing import Final

from sortline.core.errors import ParamsError, SortlineError
from sortline.core.storage.base import Limits, MakeError, SmallFile, Storage
from sortline.core.storage.folder import FolderStorage

__all__ = [
    "FolderStorage",
    "Limits",
    "SmallFile",
    "Storage",
    "is_remote",
    "open_storage",
    "required_library",
]

KINDS = "a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"


_LIBRARIES: Final = {"s3": "boto3", "gs": "obstore", "az": "obstore"}


def required_library(address: str) -> str | None:
    """The package that reaches an address, if it takes one."""
    scheme, separator, _ = address.partition("://")
    return _LIBRARIES.get(scheme) if separator else None


def is_remote(address: str) -> bool:
    """Whether an address names a bucket, as opposed to a folder."""
    return required_library(address) is not None


def open_storage(
    address: str | Path,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    *,
    error: MakeError = SortlineError,
    lock: str = ".lock",
) -> Storage:
    """The storage at an address; nothing is read or written yet.

    Args:
        address: a folder, also as `file://`; `s3://bucket/prefix`, `gs://` or `az://` like it.
        limits: of time and attempts, where there is a network.
        error: makes what is raised when the storage fails, from a message.
        lock: in a folder, the file that conditional writes lock.

    Raises:
        ParamsError: the address is none of those, or names no bucket.
    """
    text = str(address)
    if is_remote(text):
        scheme, _, rest = text.partition("://")
        bucket, _, prefix = rest.partition("/")
        if not bucket:
            raise ParamsError(f"{text} names no bucket. Write {scheme}://bucket/prefix.")
        if scheme == "s3":
            from sortline.core.storage.s3 import S3Storage

            return S3Storage(bucket, prefix.strip("/"), limits, error)
        from sortline.core.storage.cloud import open_cloud

        return open_cloud(f"{scheme}://{bucket}/{prefix.strip('/')}", limits, error)
    folder = text.removeprefix("file://")
    if not folder or "://" in folder:
        raise ParamsError(f"{text!r} cannot be reached: it has to be {KINDS}.")
    return FolderStorage(Path(folder), error, lock)
