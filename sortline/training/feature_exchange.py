"""Features computed elsewhere: shards are immutable, so exchanging them is copying files.

The other side is a folder, or any address that fsspec knows (s3://bucket/prefix with s3fs).
"""

from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem
from tqdm import tqdm

from sortline.core.errors import ArtifactError
from sortline.training.feature_store import SUFFIX, beside

_SPACE = "space.json"


def _is_ours(name: str) -> bool:
    """`<space>/space.json` or `<space>/<name>.arrow`, and nothing else: no way out of the cache."""
    parts = name.split("/")
    hidden = any(part.startswith(".") for part in parts)
    return len(parts) == 2 and not hidden and (parts[1] == _SPACE or name.endswith(SUFFIX))


def _names(files: fsspec.AbstractFileSystem, root: str) -> list[str]:
    listed = files.find(root) if files.exists(root) else []
    names = (path.removeprefix(root).lstrip("/") for path in listed)
    # A space before its shards: what is interrupted is never rows of nothing.
    return sorted((name for name in names if _is_ours(name)), key=lambda n: (n[-4:] != "json", n))


def _opened(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        files, root = fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise ArtifactError(f"{uri} cannot be reached: {error}.") from error
    return files, root.rstrip("/")


def pull(cache: Path, uri: str) -> int:
    """Copy what the other side has and this cache lacks; the number of shards copied.

    Raises:
        ArtifactError: the address is of a kind that nothing installed can reach, or holds nothing.
    """
    files, root = _opened(uri)
    names = _names(files, root)
    if not names:
        raise ArtifactError(f"{uri} holds no features. Fill it by `sortline cache push {uri}`.")
    lacking = [name for name in names if not (cache / name).is_file()]
    for name in tqdm(lacking, unit="file", desc="pull"):
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        with beside(cache / name) as own:
            files.get_file(f"{root}/{name}", str(own))
    return sum(name.endswith(SUFFIX) for name in lacking)


def push(cache: Path, uri: str) -> int:
    """Copy what this cache has and the other side lacks; the number of shards copied.

    Raises:
        ArtifactError: as `pull`; there is nothing to copy.
    """
    files, root = _opened(uri)
    if isinstance(files, LocalFileSystem):
        return pull(Path(root), str(cache))
    local, here = _opened(str(cache))
    there = set(_names(files, root))
    names = _names(local, here)
    if not names:
        raise ArtifactError(f"{cache} holds no features yet. They come with `sortline run`.")
    lacking = [name for name in names if name not in there]
    for name in tqdm(lacking, unit="file", desc="push"):
        files.put_file(str(cache / name), f"{root}/{name}")
    return sum(name.endswith(SUFFIX) for name in lacking)
