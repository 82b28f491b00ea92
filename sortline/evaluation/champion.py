"""The model to beat, as it lies in `champion/`, and how another one is put there.

champion/none.json                     there is none: {"champion": null}
champion/champion.json, model.dvc      where it came from and what it is; tracked by git
champion/model/                        its SavedModel; tracked by DVC

`sortline champion use URI` puts everything together in a sibling of `champion/` and renames it into
place: a download that fails leaves the old champion. DVC keeps the model (experiments and fresh
clones get it from there), git its address; what git keeps is staged, because `dvc exp run --temp`
copies only what git knows.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sortline.core.errors import ArtifactError, GateError, ParamsError
from sortline.core.files import atomic_dir, exclusive, read_json, write_json
from sortline.core.paths import Paths
from sortline.core.storage import is_remote, open_storage
from sortline.model.contract import ADDED_LATER, read_contract, verify

_NONE, _FACTS, _MODEL = "none.json", "champion.json", "model"
_HOW_TO_SET = "Name one by `sortline champion use URI`, or say `sortline champion use none`."
_GRAPH: Final = "saved_model.pb"
# Not named *.partial: git ignores those, and DVC adds nothing that git ignores.
_INCOMING: Final = ".champion.incoming"
_KEPT = "The champion is as it was."


@dataclass(frozen=True)
class Champion:
    """A verified model to beat.

    Attributes:
        folder: its SavedModel.
        uri: where it was taken from.
        digest: its `model_digest`.
        labels: its classes, in the order of class ids.
    """

    folder: Path
    uri: str
    digest: str
    labels: tuple[str, ...]


def read_champion(folder: Path) -> Champion | None:
    """The champion in `folder`, verified; None when there is none to beat.

    Raises:
        GateError: the folder does not say, or its model is missing, damaged or another one.
    """
    none, some = (folder / _NONE).is_file(), (folder / _FACTS).is_file()
    if none == some:
        seen = "both" if some else "neither"
        raise GateError(
            f"{folder} holds {seen} of {_NONE} and {_FACTS}; one was wanted. {_HOW_TO_SET}"
        )
    if none:
        return None
    facts = read_json(folder / _FACTS, "sortline champion use URI")
    try:
        labels = tuple(facts["labels"])
        champion = Champion(folder / _MODEL, facts["uri"], facts["digest"], labels)
    except (KeyError, TypeError) as error:
        raise GateError(f"{folder / _FACTS} lacks {error}. {_HOW_TO_SET}") from error
    if not champion.folder.exists():
        raise GateError(
            f"{champion.folder} is missing: git has only its address. Run"
            f" `dvc pull {folder.name}/{_MODEL}.dvc`, or take it anew: `sortline champion use"
            f" {champion.uri}`."
        )
    try:
        digest = verify(champion.folder)
    except ArtifactError as error:
        raise GateError(
            f"The champion cannot be read. {error} Or: `sortline champion use none`."
        ) from error
    if digest != champion.digest:
        raise GateError(
            f"{champion.folder} is the model {digest[:12]}; {folder / _FACTS} names"
            f" {champion.digest[:12]}. {_HOW_TO_SET}"
        )
    return champion


def described(champion: Champion | None) -> str:
    """The champion for a person."""
    if champion is None:
        return "No champion: a candidate is held to params.yaml alone."
    classes = f"{len(champion.labels)} classes: {', '.join(champion.labels)}"
    return f"Champion {champion.digest[:12]}, from {champion.uri}\n{classes}"


def _check_is_model(uri: str, names: list[str]) -> None:
    """Refuse what is no SavedModel before any file is copied; name a release base's versions."""
    if _GRAPH in names:
        return
    versions = {name.partition("/")[0] for name in names if re.fullmatch(f"[^/]+/{_GRAPH}", name)}
    if versions:
        ordered = sorted(versions, key=lambda name: (len(name), name))
        raise GateError(
            f"{uri} holds the versions {', '.join(ordered)}; one model is required."
            f" Name one, e.g. {uri.rstrip('/')}/{ordered[-1]}. {_KEPT}"
        )
    raise GateError(
        f"{uri} holds no {_GRAPH}. Give what `dvc repro export` writes, or a version of it that was"
        f" published. {_KEPT}"
    )


def fetch(uri: str, target: Path) -> Champion:
    """Copy what was exported of the model at `uri` into the new folder `target`, and verify it.

    Args:
        uri: a folder, `file://` of one, or `s3://bucket/prefix`; of a release, one version.
        target: does not exist.

    Raises:
        GateError: it cannot be read, or is not a whole model that this pipeline exported.
    """
    target.mkdir(parents=True)
    try:
        with open_storage(uri, error=ArtifactError) as storage:
            if storage.is_missing():
                raise GateError(
                    f"{uri} is not a folder. Give a SavedModel's folder, an s3://bucket/prefix, or"
                    f" none. {_KEPT}"
                )
            _check_is_model(uri, storage.names())
            storage.save_all("", target, skip=ADDED_LATER, progress="fetching")
        digest = verify(target)
    except (ArtifactError, ParamsError) as error:
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


def _portable(uri: str, root: Path) -> str:
    """A path inside the repository as one that holds in every clone of it."""
    if is_remote(uri):
        return uri
    path, root = Path(uri.removeprefix("file://")).resolve(), root.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else uri


def _fill(folder: Path, uri: str, root: Path) -> None:
    if uri == "none":
        write_json(folder / _NONE, {"champion": None})
        return
    model = fetch(uri, folder / _MODEL)
    facts = {"uri": _portable(uri, root), "digest": model.digest, "labels": list(model.labels)}
    write_json(folder / _FACTS, facts)
    add = [sys.executable, "-m", "dvc", "add", "--quiet", f"{_INCOMING}/{_MODEL}"]
    if _is_below(".dvc", root) and (fault := _called(add, root)):
        raise ArtifactError(f"`dvc add` failed: {fault}. {_KEPT}")


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
        with atomic_dir(paths.champion, paths.root / _INCOMING) as folder:
            _fill(folder, uri, paths.root)
        remarks = []
        if _is_below(".git", paths.root):
            # `core.autostage` makes DVC stage the folder under its first name.
            forget = ["git", "rm", "-r", "-q", "--cached", "--ignore-unmatch", "--", _INCOMING]
            add = ["git", "add", "-A", "--", paths.champion.name]
            fault = _called(forget, paths.root) or _called(add, paths.root)
            remarks.append(
                f"git could not stage {paths.champion.name}/ ({fault}): run `git add -A champion`"
                if fault
                else "staged in git; commit it, and run `dvc repro` to gate against it"
            )
        return read_champion(paths.champion), remarks
