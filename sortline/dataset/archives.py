"""Zip and tar files, unpacked under numbers: no name inside an archive ever names a file on disk.

An archive is refused as a whole when it holds a path or a link that leaves it, a device, an
encrypted member, or far more bytes than it can honestly hold: nobody makes those by accident.
`tarfile`'s own filter "data" is no help: it turns `/x` into `x` and passes `C:/x`, which are
refused here, it looks for links on a disk where these never come to lie, and it knows no zip.
"""

import lzma
import posixpath
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tqdm import tqdm

from sortline.core.errors import DataError
from sortline.dataset.layout import is_hidden, readable

_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 512  # A tar's header, and what its contents are padded to.
_MIN_CAP_BYTES = 1 << 30
_MAX_RATIO = 100  # Photographs are compressed already; text reaches 10, a bomb 1,000 and more.
_MAX_LINK_HOPS = 8
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)


@dataclass(frozen=True)
class Unpacked:
    """Files of an archive by their paths in it, and links whose target is not among them."""

    files: list[tuple[str, Path]]
    dangling: list[tuple[str, str]]


@dataclass
class _Staging:
    """Where members go, and how much they may hold."""

    archive: Path
    folder: Path
    cap_bytes: int
    used_bytes: int = 0
    files: list[tuple[str, Path]] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)

    def count(self, size: int) -> None:
        self.used_bytes += size
        if self.used_bytes > self.cap_bytes:
            raise DataError(
                f"{self.archive} unpacks to more than {self.cap_bytes:,} bytes, the cap for an"
                f" archive of its size ({_MAX_RATIO} times, at least {_MIN_CAP_BYTES:,}). If you"
                " trust it, unpack it yourself and ingest the folder."
            )

    def keep(self, name: str, member: IO[bytes]) -> None:
        target = self.folder / f"{len(self.files):08d}"
        with target.open("wb") as file:
            shutil.copyfileobj(member, file, _CHUNK_BYTES)
        self.files.append((name, target))

    def link(self, name: str, target: str, base: str) -> None:
        inside = posixpath.normpath(posixpath.join(base, target))
        if target.startswith("/") or inside == ".." or inside.startswith("../"):
            raise _hostile(self.archive, f"the link {name!r} leads out of it, to {target!r}")
        self.links.append((name, readable(inside)))

    def done(self) -> Unpacked:
        places, links = dict(self.files), dict(self.links)
        files, dangling = list(self.files), []
        for name, target in self.links:
            end, hops = target, 0
            while end in links and hops < _MAX_LINK_HOPS:
                end, hops = links[end], hops + 1
            if end in places:
                files.append((name, places[end]))
            else:
                dangling.append((name, target))
        return Unpacked(files, dangling)


def _hostile(archive: Path, what: str) -> DataError:
    return DataError(
        f"{archive} is refused: {what}. An archive of images holds plain files below its own top"
        " folder. Nothing of it was used."
    )


def _safe_path(archive: Path, name: str) -> str:
    parts = name.split("/")
    drive = len(parts[0]) == 2 and parts[0][1] == ":" and parts[0][0].isalpha()
    if name.startswith("/") or drive:
        raise _hostile(archive, f"{name!r} is an absolute path")
    if ".." in parts:
        raise _hostile(archive, f"{name!r} leads out of it")
    return readable("/".join(part for part in parts if part not in ("", ".")))


@contextmanager
def _damage_named(archive: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise _damaged(archive, str(error) or type(error).__name__) from error
    except OSError as error:
        if error.errno is not None:  # A full disk and the like; bz2 and gzip give no number.
            raise
        raise _damaged(archive, str(error)) from error


def _damaged(archive: Path, what: str) -> DataError:
    return DataError(
        f"{archive} is damaged: {what}. Nothing of it was used. Copy or download it again."
    )


def unpack(archive: Path, folder: Path) -> Unpacked:
    """Unpack into numbered files in `folder`, which exists.

    Raises:
        DataError: it is neither a zip nor a tar, damaged, encrypted, hostile or a bomb.
    """
    cap_bytes = max(_MIN_CAP_BYTES, _MAX_RATIO * archive.stat().st_size)
    staging = _Staging(archive, folder, cap_bytes)
    with archive.open("rb") as file:
        is_zip = file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    with _damage_named(archive):
        if is_zip:
            _unpack_zip(archive, staging)
        elif tarfile.is_tarfile(archive):
            _unpack_tar(archive, staging)
        else:
            raise DataError(
                f"{archive} is neither a zip nor a tar (plain, gz, bz2 or xz). Give a folder, such"
                " an archive of one, or an s3:// address."
            )
    return staging.done()


def _unpack_zip(archive: Path, staging: _Staging) -> None:
    with zipfile.ZipFile(archive) as zipped:
        members = zipped.infolist()
        for member in members:
            staging.count(member.file_size)
            if member.flag_bits & 0x1:
                raise _hostile(archive, f"{member.filename!r} is encrypted")
        for member in tqdm(members, desc="unpacking", unit="file"):
            _unpack_zip_member(archive, zipped, member, staging)


def _unpack_zip_member(
    archive: Path, zipped: zipfile.ZipFile, member: zipfile.ZipInfo, staging: _Staging
) -> None:
    # Old Windows tools write '\' between folders, and no file system would read it as a name.
    name = _safe_path(archive, member.filename.replace("\\", "/"))
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        raise _hostile(archive, f"{name!r} is a device or a pipe")
    if member.is_dir() or kind == stat.S_IFDIR:
        return
    try:
        if kind == stat.S_IFLNK:
            with zipped.open(member) as file:
                target = file.read(4096).decode("utf-8", "surrogateescape")
            staging.link(name, target, posixpath.dirname(name))
        elif not is_hidden(name):
            with zipped.open(member) as file:
                staging.keep(name, file)
    except NotImplementedError as error:  # A compression method that Python does not know.
        raise _damaged(archive, f"{name!r}: {error}") from error


def _unpack_tar(archive: Path, staging: _Staging) -> None:
    with (
        archive.open("rb") as raw,
        tarfile.open(fileobj=raw, mode="r:*") as tar,
        tqdm(desc="unpacking", total=archive.stat().st_size, unit="B", unit_scale=True) as bar,
    ):
        while (member := tar.next()) is not None:
            staging.count(_BLOCK_BYTES + member.size)
            _unpack_tar_member(archive, tar, member, staging)
            tar.members.clear()  # type: ignore[attr-defined]  # Or all headers stay in memory.
            bar.update(raw.tell() - bar.n)
        _read_to_the_end(archive, tar, staging)


def _unpack_tar_member(
    archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, staging: _Staging
) -> None:
    name = _safe_path(archive, member.name)
    if member.isdir():
        return
    if member.issym():
        staging.link(name, member.linkname, posixpath.dirname(name))
    elif member.islnk():
        staging.link(name, member.linkname, "")
    elif not member.isreg():
        raise _hostile(archive, f"{name!r} is a device or a pipe")
    elif not is_hidden(name) and (file := tar.extractfile(member)) is not None:
        staging.keep(name, file)


def _read_to_the_end(archive: Path, tar: tarfile.TarFile, staging: _Staging) -> None:
    # tarfile takes any broken header but the first for the end, and never reads gzip's checksum.
    file = tar.fileobj
    if file is None:
        raise _damaged(archive, "it was closed")
    file.seek(tar.offset)
    if file.read(_BLOCK_BYTES) != bytes(_BLOCK_BYTES):
        raise _damaged(archive, "its list of files breaks off")
    while chunk := file.read(_CHUNK_BYTES):
        staging.count(len(chunk))
