"""Where images come from: a folder, a zip or tar of one, or a prefix of a bucket.

Every kind gives the same: a list of files by their paths in the source, each with a local path to
its bytes. Hidden files are left out; links are followed only inside the source.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sortline.core.errors import DataError
from sortline.core.storage import is_remote, open_storage
from sortline.dataset.archives import unpack
from sortline.dataset.layout import Place, is_hidden, place_all, readable
from sortline.dataset.threads import map_in_threads

_THREADS = 16  # Downloads wait for the network, not for the CPU.


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
        source: a folder, an archive or a bucket's address, such as `s3://bucket/prefix`.
        staging: an existing empty folder, on the disk of the dataset.

    Raises:
        DataError: it is missing, not one of those, hostile, damaged or cannot be fetched whole.
    """
    if is_remote(source):
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


def _read_bucket(address: str, staging: Path) -> list[SourceFile]:
    with open_storage(address, error=DataError) as storage:
        names = [name for name in storage.names() if not is_hidden(name)]
        places = place_all(names)

        def fetch(job: tuple[int, str]) -> SourceFile:
            number, name = job
            if not isinstance(places[number], Place):
                return SourceFile(name, None)
            local = staging / f"{number:08d}"
            storage.save(name, local)
            return SourceFile(name, local)

        return map_in_threads(fetch, list(enumerate(names)), what="fetching", threads=_THREADS)
