"""Where images come from: a folder, a zip or tar of one, or an `s3://` prefix.

Every kind gives the same: a list of files by their paths in the source, each with a local path to
its bytes. Hidden files are left out; links are followed only inside the source.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sortline.core.errors import DataError
from sortline.dataset.archives import unpack
from sortline.dataset.layout import Place, is_hidden, place_all, readable
from sortline.dataset.threads import map_in_threads

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_S3_THREADS = 16  # Downloads wait for the network, not for the CPU.


@dataclass(frozen=True)
class SourceFile:
    """A file of a source; `reason` is set, and `local` None, when it cannot or need not be read."""

    path: str
    local: Path | None
    reason: str = ""
    detail: str = ""


def read_source(source: str, staging: Path) -> list[SourceFile]:
    """List the files of a source, sorted by path; archives and buckets are copied into `staging`.

    Args:
        source: a folder, an archive or `s3://bucket/prefix`.
        staging: an existing empty folder, on the disk of the dataset.

    Raises:
        DataError: it is missing, not one of those, hostile, damaged or cannot be fetched whole.
    """
    if source.startswith("s3://"):
        files = _read_bucket(source, staging)
    elif (path := Path(source)).is_dir():
        files = list(_read_folder(path))
    elif path.is_file():
        files = _read_archive(path, staging)
    else:
        raise DataError(
            f"{source} is missing. Give a folder of <class>/<image>, a zip or tar of one, or an"
            " s3://bucket/prefix."
        )
    return sorted(files, key=lambda file: file.path)


def _read_archive(path: Path, staging: Path) -> list[SourceFile]:
    unpacked = unpack(path, staging)
    files = [SourceFile(name, local) for name, local in unpacked.files if not is_hidden(name)]
    return files + [
        SourceFile(name, None, "link", f"its target {target} is not a file of the archive")
        for name, target in unpacked.dangling
        if not is_hidden(name)
    ]


def _raise(error: OSError) -> None:
    raise error


def _read_folder(root: Path) -> Iterator[SourceFile]:
    top = root.resolve()
    for folder, folders, names in os.walk(top, onerror=_raise):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in sorted([*names, *links]):
            if not is_hidden(name):
                yield _folder_file(top, Path(folder) / name)
        if Path(folder) != top and not folders and not names:
            shown = readable(Path(folder).relative_to(top).as_posix()) + "/"
            yield SourceFile(shown, None, "empty folder", "no file is in it")


def _folder_file(top: Path, path: Path) -> SourceFile:
    shown = readable(path.relative_to(top).as_posix())
    if path.is_symlink():
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):
            return SourceFile(shown, None, "link", "it leads to nothing")
        if not target.is_relative_to(top):
            detail = f"it leads out of the folder, to {readable(str(target))}; copy the file itself"
            return SourceFile(shown, None, "link", detail)
        if target.is_dir():
            return SourceFile(shown, None, "link", "it leads to a folder, which is read by itself")
    if not stat.S_ISREG(path.stat().st_mode):
        return SourceFile(shown, None, "not a file", "a device, a pipe or a socket")
    return SourceFile(shown, path)


def _bucket_and_prefix(url: str) -> tuple[str, str]:
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    if not bucket:
        raise DataError(f"{url} names no bucket. Write s3://bucket/prefix.")
    return bucket, prefix.rstrip("/") + "/" if prefix.strip("/") else ""


def _list_keys(client: "S3Client", bucket: str, prefix: str, url: str) -> list[str]:
    keys, complete = [], False
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        keys += [entry["Key"] for entry in page.get("Contents", [])]
        complete = not page.get("IsTruncated", False)
    if not complete:  # botocore takes a cut page without a token for the last one.
        raise DataError(f"{url}: the listing broke off after {len(keys)} keys. Try again.")
    return [key for key in keys if not key.endswith("/")]  # Those mark folders.


def _read_bucket(url: str, staging: Path) -> list[SourceFile]:
    import boto3
    from boto3.exceptions import Boto3Error
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, prefix = _bucket_and_prefix(url)
    try:
        config = Config(max_pool_connections=_S3_THREADS)
        with closing(boto3.client("s3", config=config)) as client:
            keys = sorted(_list_keys(client, bucket, prefix, url))
            return _download(client, bucket, prefix, keys, staging)
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise DataError(
            f"{url} could not be read whole: {error}. Nothing of it was used. Check the address,"
            " the credentials and, unless it is AWS's own S3, AWS_ENDPOINT_URL; then try again."
        ) from error


def _download(
    client: "S3Client", bucket: str, prefix: str, keys: list[str], staging: Path
) -> list[SourceFile]:
    from boto3.s3.transfer import TransferConfig

    config = TransferConfig(use_threads=False)
    paths = [key.removeprefix(prefix) for key in keys]
    shown = [(key, path) for key, path in zip(keys, paths, strict=True) if not is_hidden(path)]
    places = place_all([path for _, path in shown])

    def fetch(job: tuple[int, str, str]) -> SourceFile:
        number, key, path = job
        if not isinstance(places[number], Place):
            return SourceFile(path, None)
        local = staging / f"{number:08d}"
        client.download_file(bucket, key, str(local), Config=config)
        return SourceFile(path, local)

    jobs = [(number, key, path) for number, (key, path) in enumerate(shown)]
    return map_in_threads(fetch, jobs, what="fetching", threads=_S3_THREADS)
