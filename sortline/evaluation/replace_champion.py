"""`sortline champion use URI`: fetch a model, verify it, and make it the one to beat.

Everything is put together in a sibling of `champion/` and renamed into place: a download that fails
leaves the old champion. DVC keeps the model (experiments and fresh clones get it from there), git
its address; what git keeps is staged, because `dvc exp run --temp` copies only what git knows.
"""

import re
from pathlib import Path
from typing import Final

from sortline.core.dvc import dvc_output
from sortline.core.errors import ArtifactError, GateError, ParamsError, SortlineError
from sortline.core.files import atomic_dir, exclusive, write_json
from sortline.core.git import git
from sortline.core.paths import Paths
from sortline.core.storage import is_remote, open_storage
from sortline.evaluation.champion import FACTS, MODEL, NONE, Champion, read_champion
from sortline.model.contract import ADDED_LATER, read_contract, verify

_GRAPH: Final = "saved_model.pb"
# Not named *.partial: git ignores those, and DVC adds nothing that git ignores.
_INCOMING: Final = ".champion.incoming"
_KEPT = "The champion is as it was."


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


def _is_below(folder: str, root: Path) -> bool:
    return any((parent / folder).exists() for parent in [root, *root.parents])


def _give_to_dvc(root: Path) -> None:
    try:
        dvc_output(root, "add", "--quiet", f"{_INCOMING}/{MODEL}", error=ArtifactError)
    except ArtifactError as error:
        raise ArtifactError(f"{error} {_KEPT}") from error


def _stage(paths: Paths) -> None:
    # `core.autostage` makes DVC stage the folder under its first name.
    forget = ("rm", "-r", "-q", "--cached", "--ignore-unmatch", "--", _INCOMING)
    git(paths.root, *forget, error=ArtifactError)
    git(paths.root, "add", "-A", "--", paths.champion.name, error=ArtifactError)


def _portable(uri: str, root: Path) -> str:
    """A path inside the repository as one that holds in every clone of it."""
    if is_remote(uri):
        return uri
    path, root = Path(uri.removeprefix("file://")).resolve(), root.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else uri


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
        with atomic_dir(paths.champion, paths.root / _INCOMING) as folder:
            _fill(folder, uri, paths.root)
        remarks = []
        if _is_below(".git", paths.root):
            try:
                _stage(paths)
                remarks.append("staged in git; commit it, and run `dvc repro` to gate against it")
            except SortlineError as error:
                advice = "run `git add -A champion`"
                remarks.append(f"git could not stage {paths.champion.name}/ ({error}): {advice}")
        return read_champion(paths.champion), remarks


def described(champion: Champion | None) -> str:
    """The champion for a person."""
    if champion is None:
        return "No champion: a candidate is held to params.yaml alone."
    classes = f"{len(champion.labels)} classes: {', '.join(champion.labels)}"
    return f"Champion {champion.digest[:12]}, from {champion.uri}\n{classes}"
