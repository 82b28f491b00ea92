"""`sortline champion use URI`: fetch a model, verify it, and make it the one to beat.

Everything is put together in a sibling of `champion/` and renamed into place: a download that fails
leaves the old champion. DVC keeps the model (experiments and fresh clones get it from there), git
its address; what git keeps is staged, because `dvc exp run --temp` copies only what git knows.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tqdm import tqdm

from sortline.core.artifacts import Paths, exclusive, remove, write_json
from sortline.core.errors import ArtifactError, GateError
from sortline.evaluation.champion import FACTS, MODEL, NONE, Champion, read_champion
from sortline.model.contract import ADDED_LATER, read_contract, verify

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Not named *.partial: git ignores those, and DVC adds nothing that git ignores.
_INCOMING, _OUTGOING = ".champion.incoming", ".champion.partial"
_KEPT = "The champion is as it was."


def _versions(names: Iterator[PurePosixPath]) -> list[str]:
    found = {n.parts[0] for n in names if n.name == "saved_model.pb" and len(n.parts) == 2}
    return sorted(found, key=lambda name: (len(name), name))


def _check_is_model(uri: str, names: list[PurePosixPath]) -> None:
    """Refuse what is no SavedModel before any file is copied; name a release base's versions."""
    if PurePosixPath("saved_model.pb") in names:
        return
    if versions := _versions(iter(names)):
        raise GateError(
            f"{uri} holds the versions {', '.join(versions)}; one model was wanted."
            f" Name one, e.g. {uri.rstrip('/')}/{versions[-1]}. {_KEPT}"
        )
    raise GateError(
        f"{uri} holds no saved_model.pb; wanted what `dvc repro export` writes, or a version of it"
        f" that was published. {_KEPT}"
    )


def _exported(names: list[PurePosixPath]) -> list[PurePosixPath]:
    return [name for name in names if name.as_posix() not in ADDED_LATER]


def _copy_folder(uri: str, target: Path) -> None:
    source = Path(uri.removeprefix("file://"))
    if not source.is_dir():
        raise GateError(
            f"{uri} is not a folder. Give a SavedModel's folder, an s3://bucket/prefix, or none."
            f" {_KEPT}"
        )
    files = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    names = [PurePosixPath(path.as_posix()) for path in files]
    _check_is_model(uri, names)
    for name in _exported(names):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)


def _list_bucket(client: "S3Client", bucket: str, prefix: str) -> list[PurePosixPath]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return [PurePosixPath(key.removeprefix(prefix)) for key in keys if not key.endswith("/")]


def _copy_bucket(uri: str, target: Path) -> None:
    import boto3
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = uri.removeprefix("s3://").partition("/")
    prefix = key.rstrip("/") + "/" if key.strip("/") else ""
    try:
        client = boto3.client("s3")
        names = _list_bucket(client, bucket, prefix)
        _check_is_model(uri, names)
        for name in tqdm(_exported(names), desc="fetching", unit="file"):
            if ".." in name.parts or name.is_absolute():
                raise GateError(f"{uri} has the key {name}, which is no path. {_KEPT}")
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            client.download_file(bucket, prefix + name.as_posix(), str(target / name))
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise GateError(
            f"{uri} could not be read whole: {error}. Check the address, the credentials and,"
            f" unless it is AWS's own S3, AWS_ENDPOINT_URL; then try again. {_KEPT}"
        ) from error


def fetch(uri: str, target: Path) -> Champion:
    """Copy what was exported of the model at `uri` into the new folder `target`, and verify it.

    Args:
        uri: a folder, `file://` of one, or `s3://bucket/prefix`; of a release, one version.
        target: does not exist.

    Raises:
        GateError: it cannot be read, or is not a whole model that this pipeline exported.
    """
    target.mkdir(parents=True)
    (_copy_bucket if uri.startswith("s3://") else _copy_folder)(uri, target)
    try:
        digest = verify(target)
    except ArtifactError as error:
        raise GateError(f"{uri} cannot be the champion. {error} {_KEPT}") from error
    return Champion(target, uri, digest, read_contract(target).labels)


def _called(command: list[str], root: Path) -> str | None:
    """What a command says on stderr when it fails; None when it does not."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "true"}
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        return str(error)
    return (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else None


def _is_below(folder: str, root: Path) -> bool:
    return any((parent / folder).exists() for parent in [root, *root.parents])


def _give_to_dvc(root: Path) -> None:
    command = [sys.executable, "-m", "dvc", "add", "--quiet", f"{_INCOMING}/{MODEL}"]
    if fault := _called(command, root):
        raise ArtifactError(f"`dvc add` failed: {fault}. {_KEPT}")


@contextmanager
def _replaced(paths: Paths) -> Iterator[Path]:
    """A new folder that becomes `champion/` when the block ends, and vanishes when it raises."""
    incoming, outgoing = paths.root / _INCOMING, paths.root / _OUTGOING
    if outgoing.exists() and not paths.champion.exists():
        outgoing.rename(paths.champion)  # Killed between the two renames below.
    remove(incoming)
    incoming.mkdir()
    try:
        yield incoming
    except BaseException:
        remove(incoming)
        raise
    remove(outgoing)
    if paths.champion.exists():
        paths.champion.rename(outgoing)
    incoming.rename(paths.champion)
    remove(outgoing)


def _stage(paths: Paths) -> str | None:
    """Tell git; what it says when it does not take it."""
    # `core.autostage` makes DVC stage the folder under its first name.
    forget = ["git", "rm", "-r", "-q", "--cached", "--ignore-unmatch", "--", _INCOMING]
    add = ["git", "add", "-A", "--", paths.champion.name]
    return _called(forget, paths.root) or _called(add, paths.root)


def _portable(uri: str, root: Path) -> str:
    """A path inside the repository as one that holds in every clone of it."""
    path = Path(uri.removeprefix("file://")).resolve()
    inside = not uri.startswith("s3://") and path.is_relative_to(root.resolve())
    return path.relative_to(root.resolve()).as_posix() if inside else uri


def _fill(folder: Path, uri: str, root: Path) -> None:
    if uri == "none":
        write_json(folder / NONE, {"champion": None})
        return
    taken = fetch(uri, folder / MODEL)
    facts = {"uri": _portable(uri, root), "digest": taken.digest, "labels": list(taken.labels)}
    write_json(folder / FACTS, facts)
    if _is_below(".dvc", root):
        _give_to_dvc(root)


def use(uri: str, paths: Paths) -> tuple[Champion | None, list[str]]:
    """Make the model at `uri` (or `none`) the one to beat; the champion, and remarks for the user.

    Raises:
        BusyError: the gate, which reads it, is running.
        GateError: it cannot be read, or is no whole model of this pipeline; the old one stays.
        ArtifactError: DVC does not take it; the old one stays.
    """
    with exclusive(
        paths.root / ".sortline" / "gate.lock", "The step gate or `sortline champion use`"
    ):
        with _replaced(paths) as folder:
            _fill(folder, uri, paths.root)
        remarks = []
        if _is_below(".git", paths.root):
            fault = _stage(paths)
            remarks.append(
                f"git could not stage {paths.champion.name}/ ({fault}): run `git add -A champion`"
                if fault
                else "staged in git; commit it, and run `dvc repro` to gate against it"
            )
        return read_champion(paths.champion), remarks


def _described(champion: Champion | None) -> str:
    if champion is None:
        return "No champion: a candidate is held to params.yaml alone."
    classes = f"{len(champion.labels)} classes: {', '.join(champion.labels)}"
    return f"Champion {champion.digest[:12]}, from {champion.uri}\n{classes}"


def use_command(uri: str, paths: Paths) -> None:
    """`sortline champion use`; see `use`."""
    champion, remarks = use(uri, paths)
    print("\n".join([_described(champion), *remarks]))


def show_command(paths: Paths) -> None:
    """`sortline champion show`; see `read_champion`."""
    print(_described(read_champion(paths.champion)))
