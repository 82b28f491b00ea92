"""Files: how they are written whole, read only if they are what was listed, and hashed.

Everything a step writes goes to a hidden sibling, `.NAME.partial`, and is renamed into place when
it is complete. A killed step leaves at most such siblings, which its next run removes; if it was
killed between setting the old folder aside and renaming the new one, the old one comes back first.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sortline.core.errors import ArtifactError, BusyError, DataError

_CHUNK_BYTES = 1 << 20


def _partial(target: Path) -> Path:
    return target.with_name(f".{target.name}.partial")


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def scratch_dir(target: Path, purpose: str = "") -> Iterator[Path]:
    """A new hidden folder beside `target`, gone when the block ends."""
    folder = target.with_name(f".{target.name}{purpose}.partial")
    remove(folder)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        remove(folder)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.old.partial")


def recover_dir(target: Path) -> None:
    """Undo a swap that was killed between its two renames; finish one that was killed after them.

    `atomic_dir` does this by itself; who reads a folder before replacing it calls it first.
    """
    if _aside(target).exists() and not target.exists():
        _aside(target).rename(target)
    remove(_aside(target))


def _swap(new: Path, target: Path) -> None:
    # A folder cannot replace another in one step: the old one is set aside, and removed last.
    try:
        if target.exists():
            target.rename(_aside(target))
        new.rename(target)
    finally:
        recover_dir(target)


@contextmanager
def atomic_dir(target: Path, partial: Path | None = None) -> Iterator[Path]:
    """A new folder that replaces `target` when the block ends, and vanishes when it raises.

    Args:
        target: a folder, or nothing yet.
        partial: the new folder's path until then, on the same disk; else `.NAME.partial`.
    """
    recover_dir(target)
    partial = partial or _partial(target)
    remove(partial)
    partial.mkdir(parents=True)
    try:
        yield partial
        _swap(partial, target)
    finally:
        remove(partial)


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """A path to write, which replaces `target` when the block ends, and vanishes when it raises."""
    partial = _partial(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove(partial)
    try:
        yield partial
    except BaseException:
        remove(partial)
        raise
    partial.replace(target)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with atomic_file(target) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write JSON with stable formatting (equal values give equal bytes), whole or not at all."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(target, text + "\n")


def require(path: Path, made_by: str) -> Path:
    """Return `path` if it is there.

    Raises:
        ArtifactError: it is missing; the message names the command that makes it.
    """
    if not path.exists():
        raise ArtifactError(f"{path} is missing. It is made by `{made_by}`: run that first.")
    return path


def read_json(path: Path, made_by: str) -> Any:
    """Read a JSON file that `made_by` (a command) writes.

    Raises:
        ArtifactError: it is missing or not JSON.
    """
    try:
        return json.loads(require(path, made_by).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArtifactError(f"{path} is not JSON ({error}). Run `{made_by}` again.") from error


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_verified(
    path: Path, sha256: str, *, was: str = "validated", command: str = "dvc repro validate"
) -> bytes:
    """The bytes of a file that was listed with its SHA-256.

    Args:
        path: the file.
        sha256: of the bytes that were seen then, in hex.
        was: what was done to it then.
        command: that does it again.

    Raises:
        DataError: it is gone, or has changed since.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing, and it was {was}. Run `{command}` again.") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(
            f"{path} is not the file that was {was}: its SHA-256 is not {sha256[:12]}... . Run"
            f" `{command}` again, or bring the file back (`dvc checkout`)."
        )
    return data


def sha256_json(value: Any) -> str:
    """SHA-256 of a value's canonical JSON, in hex: a key made of several facts."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_tree(folder: Path) -> str:
    """SHA-256 over the relative paths and contents of all files below `folder`, in hex."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return sha256_json([[path.relative_to(folder).as_posix(), sha256_file(path)] for path in files])


def tree_bytes(folder: Path) -> int:
    """Size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def exclusive(lock: Path, what: str) -> Iterator[None]:
    """Hold `lock` for the length of the block; the kernel frees it even after SIGKILL.

    By `flock`: on NFS it holds between machines from version 4 on, and an older or `nolock` mount
    keeps it to one machine. (filelock is the same call on Unix, and would add Windows alone.)

    Raises:
        BusyError: another process holds it. Nothing waits: two at once are a mistake.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(
                f"{what} is already running here (it holds {lock}). Wait for it to end, or stop it."
            ) from error
        yield
