"""Rows of features on disk: appended to, never rewritten, each one checked before it is used.

    <cache>/<space>/space.json        what the rows are features of, for people
    <cache>/<space>/<name>.arrow      a shard: keys, checksums and features of some rows
    <cache>/uses.jsonl                what each use found, computed and saved

A space holds the rows of one backbone, cut and storage type; its name is a hash of all of that, so
that no row is ever read for another network's. Shards are immutable: they are written beside their
place and renamed into it, several writers never meet, and a copy of one is as good as the original.

Arrow's file format won over LMDB (a fixed map, one writer, nothing to copy to a bucket), Zarr
(chunks are decompressed into copies) and safetensors (its NumPy reader copies): a column is used
where the kernel mapped it, and a shard carries what it is about in its schema.
"""

import json
import mmap
import os
import resource
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sortline.core.errors import ArtifactError
from sortline.core.files import sha256_json
from sortline.images.augmentations import view_names

Array = npt.NDArray[Any]

SUFFIX: Final = ".arrow"
NETWORK_SUFFIX: Final = ".network"  # What an engine converted, beside the rows.
_KEY_BYTES: Final = 16
_KEY: Final = np.dtype(f"S{_KEY_BYTES}")
_SHARD_BYTES: Final = 64 << 20
_SHARD_ROWS: Final = 4096
_OPEN_FILES: Final = 65536
_RESIDENT_BYTES: Final = 32 << 20  # Of mapped pages, before they are handed back to the kernel.


def row_keys(sha256: Sequence[str], vectors: Array, added: Sequence[str] = ()) -> Array:
    """The key of each (image, view), S16 [R].

    Args:
        sha256: of each row's image, in hex.
        vectors: drawn parameters of each row's view, float32 [R, K].
        added: registered augmentations whose fields the vectors have after the built-in ones.
    """
    keys = [
        blake2b(bytes.fromhex(sha) + view, digest_size=_KEY_BYTES).digest()
        for sha, view in zip(sha256, view_names(vectors, added), strict=True)
    ]
    return np.array(keys, _KEY)


def _checksums(keys: Array, features: Array) -> Array:
    # With what the bytes mean: a flipped bit in the file's metadata must not turn them round.
    kind = zlib.crc32(f"{features.dtype.str} {features.shape[1:]}".encode())
    values = (
        zlib.crc32(row, zlib.crc32(key, kind))
        for key, row in zip(_raw(keys), features, strict=True)
    )
    return np.fromiter(values, "<u4", len(keys))


def _raw(keys: Array) -> list[bytes]:
    # `bytes(key)` would drop trailing zeros.
    return [row.tobytes() for row in np.ascontiguousarray(keys).view("u1").reshape(-1, _KEY_BYTES)]


def _allow_many_files() -> None:
    # A mapping keeps its file open, and many systems allow a process 1,024 unless it asks.
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _OPEN_FILES if most == resource.RLIM_INFINITY else min(most, _OPEN_FILES)
    if now != resource.RLIM_INFINITY and now < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """A path to write that replaces `target`; of this writer alone, since others may be at it."""
    own = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        yield own
        own.replace(target)
    finally:
        own.unlink(missing_ok=True)


@dataclass(frozen=True)
class Shard:
    """One file of rows, mapped.

    Attributes:
        path: the file.
        space: that its rows belong to.
        keys: of its rows, S16 [n].
        checksums: of key and features of each row, uint32 [n].
        features: [n, ...], read-only, where the kernel mapped them.
        seconds: what computing them took.
        pages: the mapping.
    """

    path: Path
    space: str
    keys: Array
    checksums: Array
    features: Array
    seconds: float
    pages: mmap.mmap

    def sound(self) -> Array:
        """Which rows are as they were written, bool [n]."""
        good: Array = _checksums(self.keys, self.features) == self.checksums
        self.release()
        return good

    def release(self) -> None:
        """Hand the pages back: they stay in the kernel's cache, and no longer count as ours."""
        self.pages.madvise(mmap.MADV_DONTNEED)


def _column(table: pa.Table, name: str, dtype: np.dtype[Any]) -> Array:
    """A column without copying it: [n], or [n, values] where a cell holds several."""
    chunk = table.column(name).chunk(0)
    values = chunk.type.bit_width // 8 // dtype.itemsize
    flat = np.frombuffer(chunk.buffers()[1], dtype, count=len(chunk) * values)
    return flat if values == 1 else flat.reshape(len(chunk), values)


def read_shard(path: Path) -> Shard:
    """Map a shard.

    Raises:
        ArtifactError: it is torn, not a shard, or may not be read.
        FileNotFoundError: it was removed meanwhile.
    """
    try:
        with path.open("rb") as file:
            pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        table = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(pages))).read_all()
        facts = json.loads(table.schema.metadata[b"sortline"])
        features = _column(table, "features", np.dtype(facts["dtype"]))
        return Shard(
            path,
            str(facts["space"]),
            _column(table, "key", _KEY),
            _column(table, "crc32", np.dtype("<u4")),
            features.reshape(table.num_rows, *facts["shape"]),
            float(facts["seconds"]),
            pages,
        )
    except FileNotFoundError:
        raise
    # Damaged metadata shows as any of these; a file that cannot be read is as good as damaged.
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.") from error


def _write_shard(target: Path, space: str, keys: Array, features: Array, seconds: float) -> None:
    rows = np.ascontiguousarray(features)
    width = rows[0].nbytes
    columns = {
        "key": (pa.binary(_KEY_BYTES), np.ascontiguousarray(keys)),
        "crc32": (pa.uint32(), _checksums(keys, rows)),
        "features": (pa.binary(width), rows),
    }
    arrays = [
        pa.Array.from_buffers(kind, len(rows), [None, pa.py_buffer(values)])
        for kind, values in columns.values()
    ]
    facts = {
        "space": space,
        "dtype": rows.dtype.str,
        "shape": list(rows.shape[1:]),
        "seconds": seconds,
    }
    schema = pa.schema(
        [(name, kind) for name, (kind, _) in columns.items()],
        metadata={"sortline": json.dumps(facts)},
    )
    with target.open("wb") as file:
        with pa.ipc.new_file(file, schema) as writer:
            writer.write_batch(pa.record_batch(arrays, schema=schema))
        file.flush()
        os.fsync(file.fileno())


@dataclass
class Rows:
    """Rows of several shards, in the order that was asked for; gathered when they are indexed.

    Attributes:
        shards: where they are.
        shard: index of each row's shard, int32 [R].
        row: its place in that shard, int32 [R].
    """

    shards: list[Shard]
    shard: Array
    row: Array
    _touched: int = field(default=0, repr=False)

    def __len__(self) -> int:
        return len(self.row)

    @property
    def shape(self) -> tuple[int, ...]:
        """[R, ...]."""
        return (len(self.row), *self.shards[0].features.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of storage."""
        return self.shards[0].features.dtype

    @property
    def nbytes(self) -> int:
        """Of all rows in storage."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, rows: Any) -> Array:
        """A copy of some rows, [n, ...]; takes what indexes one dimension of an array."""
        shard, row = np.atleast_1d(self.shard[rows]), np.atleast_1d(self.row[rows])
        out = np.empty((len(row), *self.shape[1:]), self.dtype)
        for number in np.unique(shard):
            here = shard == number
            out[here] = self.shards[number].features[row[here]]
        self._count(out.nbytes)
        return out

    def seconds(self) -> Array:
        """What computing each row took, float64 [R]: its shard's time, shared out."""
        per_row = [shard.seconds / max(1, len(shard.keys)) for shard in self.shards]
        return np.array(per_row)[self.shard]

    def _count(self, used: int) -> None:
        self._touched += used
        if self._touched > _RESIDENT_BYTES:
            self._touched = 0
            for shard in self.shards:
                shard.release()


class Space:
    """The rows of one network, cut and storage type.

    Args:
        cache: folder of all spaces.
        identity: everything that the features depend on besides the image and its view; JSON.
    """

    def __init__(self, cache: Path, identity: Mapping[str, Any]) -> None:
        self.cache, self.identity = cache, dict(identity)
        self.folder = cache / sha256_json(self.identity)[:32]
        self.shards: list[Shard] = []
        self._keys = np.empty(0, _KEY)
        self._where = np.empty((0, 2), "int32")

    def open(self) -> "Space":
        """Map and check every shard; what is damaged is as if it were not there."""
        self.shards = []
        keys, where = [self._keys[:0]], [self._where[:0]]
        _allow_many_files()
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            checked = self._checked(path)
            if checked is None:
                continue
            shard, good = checked
            if len(good) < len(shard.keys):
                self._warn(f"{len(shard.keys) - len(good)} rows of {path} are damaged")
            keys.append(shard.keys[good])
            where.append(np.stack([np.full(len(good), len(self.shards)), good], 1).astype("int32"))
            self.shards.append(shard)
        order = np.argsort(joined := np.concatenate(keys), kind="stable")
        self._keys, self._where = joined[order], np.concatenate(where)[order]
        return self

    def _checked(self, path: Path) -> tuple[Shard, Array] | None:
        try:
            shard = read_shard(path)
            good = np.flatnonzero(shard.sound())
        except FileNotFoundError:  # Evicted by somebody else a moment ago.
            return None
        except (ArtifactError, ValueError) as error:
            self._warn(str(error).rstrip("."))
            return None
        if shard.space != self.folder.name:
            self._warn(f"{path} holds rows of another network or cut")
            return None
        return shard, good

    def _warn(self, seen: str) -> None:
        print(f"sortline: {seen}: they are computed again.", file=sys.stderr)

    def missing(self, keys: Array) -> Array:
        """Which keys have no row, bool [R]."""
        absent: Array = np.ones(len(keys), dtype=bool)
        if len(self._keys):
            places = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
            absent = self._keys[places] != keys
        return absent

    def rows(self, keys: Array) -> Rows:
        """The rows of these keys; marks their shards as used.

        Raises:
            ArtifactError: one is missing.
        """
        if absent := int(self.missing(keys).sum()):
            raise ArtifactError(f"{self.folder} lacks {absent} of {len(keys)} features.")
        where = self._where[np.searchsorted(self._keys, keys)]
        for index in np.unique(where[:, 0]):
            try:
                os.utime(self.shards[index].path)
            except OSError:  # Another user's cache, or evicted: its age is not ours to set.
                continue
        return Rows(self.shards, where[:, 0], where[:, 1])

    def shard_rows(self, row_bytes: int) -> int:
        """Rows that a shard should have: as many as a killed writer may lose."""
        return max(1, min(_SHARD_ROWS, _SHARD_BYTES // row_bytes))

    def append(self, keys: Array, features: Array, seconds: float) -> None:
        """Write rows as a new shard.

        Args:
            keys: S16 [n].
            features: [n, ...] of the storage type.
            seconds: what computing them took.

        Raises:
            ArtifactError: a feature is not finite; nothing is written.
            OSError: the disk is full, or the folder cannot be written to.
        """
        if not np.isfinite(features).all():
            raise ArtifactError(
                "A feature is not finite, or too large for its storage type. Set features.storage:"
                " float32; if that does not help, the weights are broken."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (facts := self.folder / "space.json").is_file():
            with beside(facts) as own:
                own.write_text(json.dumps(self.identity, indent=2) + "\n", encoding="utf-8")
        name = blake2b(b"".join(_raw(keys)), digest_size=16).hexdigest()
        with beside(self.folder / f"{name}{SUFFIX}") as own:
            _write_shard(own, self.folder.name, keys, features, seconds)
