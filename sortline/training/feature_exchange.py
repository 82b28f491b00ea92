"""Features computed elsewhere: shards are immutable, so exchanging them is copying files.

The other side is a folder or a bucket, as `core.storage` knows them.
"""

from pathlib import Path

from tqdm import tqdm

from sortline.core.errors import ArtifactError
from sortline.core.storage import Storage, open_storage
from sortline.training.feature_store import SUFFIX, beside

_SPACE = "space.json"


def _is_ours(name: str) -> bool:
    """`<space>/space.json` or `<space>/<name>.arrow`, and nothing else: no way out of the cache."""
    parts = name.split("/")
    hidden = any(part.startswith(".") for part in parts)
    return len(parts) == 2 and not hidden and (parts[1] == _SPACE or name.endswith(SUFFIX))


def _names(storage: Storage) -> list[str]:
    # A space before its shards: what is interrupted is never rows of nothing.
    names = filter(_is_ours, storage.names())
    return sorted(names, key=lambda name: (not name.endswith(_SPACE), name))


def pull(cache: Path, address: str) -> int:
    """Copy what the other side has and this cache lacks; the number of shards copied.

    Raises:
        ParamsError: the address is none of a storage.
        ArtifactError: the other side cannot be read, or holds nothing.
    """
    with open_storage(address, error=ArtifactError) as other:
        names = _names(other)
        if not names:
            raise ArtifactError(
                f"{address} holds no features. Fill it by `sortline cache push {address}`."
            )
        lacking = [name for name in names if not (cache / name).is_file()]
        for name in tqdm(lacking, unit="file", desc="pull"):
            (cache / name).parent.mkdir(parents=True, exist_ok=True)
            with beside(cache / name) as own:
                other.save(name, own)
    return sum(name.endswith(SUFFIX) for name in lacking)


def push(cache: Path, address: str) -> int:
    """Copy what this cache has and the other side lacks; the number of shards copied.

    Raises:
        ParamsError: the address is none of a storage.
        ArtifactError: the other side cannot be written, or there is nothing to copy.
    """
    names = _names(open_storage(cache, error=ArtifactError))
    if not names:
        raise ArtifactError(f"{cache} holds no features yet. They come with `sortline run`.")
    with open_storage(address, error=ArtifactError) as other:
        there = set(other.names())
        lacking = [name for name in names if name not in there]
        for name in tqdm(lacking, unit="file", desc="push"):
            other.put(name, cache / name)
    return sum(name.endswith(SUFFIX) for name in lacking)
