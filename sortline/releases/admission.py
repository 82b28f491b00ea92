"""Whether a model may be published, and what is recorded of it.

It takes both blessings, of the gates and of a server, and both of the bytes at hand.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sortline.core.dvc import find_pin
from sortline.core.errors import ArtifactError, RefusedError
from sortline.core.files import digest_tree
from sortline.core.git import ask_git, checked_out
from sortline.core.paths import Paths
from sortline.evaluation.blessing import read_blessing, short
from sortline.model.contract import Contract, read_contract, verify
from sortline.releases.records import LINEAGE, Lineage, Made, publisher, utc
from sortline.serving.infra_blessing import read_infra_blessing

VERSION = "artifacts/version"
_STAND_IN = "stand-in"
_GATED = "dvc repro gate"
_VALIDATED = "sortline infra-validate"


@dataclass(frozen=True)
class Candidate:
    """The bytes that are to be published.

    Attributes:
        folder: artifacts/version.
        contract: its own.
        model_digest: computed anew.
        version_digest: computed anew; of every file in the folder.
    """

    folder: Path
    contract: Contract
    model_digest: str
    version_digest: str


def read_candidate(paths: Paths) -> Candidate:
    """Digest what `sortline infra-validate` assembled.

    Raises:
        ArtifactError: it is missing, or not what was exported.
    """
    folder = paths.root / VERSION
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is missing. It is made by `{_VALIDATED}`: run that first.")
    links = [path for path in folder.rglob("*") if path.is_symlink()]
    if links:
        raise ArtifactError(
            f"{links[0]} is a link; a version holds plain files. Run `{_VALIDATED}`."
        )
    if (folder / LINEAGE).exists():
        raise ArtifactError(
            f"{folder / LINEAGE} is there, which only publishing writes. Run `{_VALIDATED}`."
        )
    return Candidate(folder, read_contract(folder), verify(folder), digest_tree(folder))


def _gates(paths: Paths, candidate: Candidate) -> dict[str, Any]:
    blessing = read_blessing(paths.reports / "blessing.json", _GATED)
    if blessing.candidate != candidate.model_digest:
        raise RefusedError(
            f"reports/blessing.json is of the model {short(blessing.candidate)}; {VERSION} holds"
            f" {short(candidate.model_digest)}. Run `{_GATED}`, then `{_VALIDATED}`."
        )
    if not blessing.blessed:
        raise RefusedError(
            f"The gates refuse this model ({', '.join(blessing.refused_by)}): see `sortline gate`."
        )
    return blessing.to_json()


def _server(paths: Paths, candidate: Candidate) -> dict[str, Any]:
    blessing = read_infra_blessing(paths)
    named, seen = blessing.version_digest, candidate.version_digest
    if (blessing.model_digest, named) != (candidate.model_digest, seen):
        raise RefusedError(
            f"reports/infra_blessing.json is of the version {short(named)} of the model"
            f" {short(blessing.model_digest)}; {VERSION} is {short(seen)} of"
            f" {short(candidate.model_digest)}. Run `{_VALIDATED}`."
        )
    if not blessing.blessed:
        raise RefusedError(
            f"The server refuses this model: {blessing.reason}. See reports/infra_blessing.json."
        )
    return blessing.model_dump(mode="json")


def _release(version: str) -> tuple[int, ...]:
    parts = version.split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


def _warnings(
    contract: Contract, serving_version: str, infra_blessing: dict[str, Any] | None
) -> Iterator[str]:
    """What may go wrong with a TensorFlow Serving of this version, and who has not judged it."""
    pinned = _release(serving_version)
    exported = contract.versions.get("tensorflow")
    if exported and _release(exported) > pinned:
        yield (
            f"exported by TensorFlow {exported}, newer than the TensorFlow Serving"
            f" {serving_version} of publish.serving_version"
        )
    if _release(contract.min_serving_version) > pinned:
        yield (
            f"needs TensorFlow Serving {contract.min_serving_version}; publish.serving_version is"
            f" {serving_version}"
        )
    if infra_blessing and infra_blessing["server"]["kind"] == _STAND_IN:
        yield "judged by the stand-in alone: TensorFlow Serving itself has not loaded it"
    if infra_blessing and not infra_blessing["warmup"]["ran"]:
        yield "its warm-up requests were not played by the server that judged it"


def _json_object(path: Path) -> dict[str, Any]:
    # Lineage records what can be known; whether it is enough is not for this file to say.
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def read_made(paths: Paths) -> Made:
    """What can be found out about the making of the model below `paths.root`.

    A run of `sortline run` has its commit in run.json, and dvc.lock in that commit.
    """
    commit: str | None
    dirty: bool | None
    root, lock = paths.root, paths.root / "dvc.lock"
    locked = lock.read_bytes() if lock.is_file() else None
    if ran_from := _json_object(root / "run.json").get("commit"):
        commit, dirty = str(ran_from), False  # It holds all that the model was made from.
    else:
        commit, dirty = checked_out(root)
    if locked is None and commit is not None and (root / "run.json").is_file():
        locked = ask_git(root, "show", f"{commit}:dvc.lock")
    facts = _json_object(paths.phase2 / "facts.json")
    return Made(
        git_commit=commit,
        git_dirty=dirty,
        dvc_lock=hashlib.sha256(locked).hexdigest() if locked is not None else None,
        data=find_pin(root / "data.dvc"),
        weights=facts.get("weights"),
        weights_sha256=facts.get("weights_sha256"),
    )


def _metrics(paths: Paths, model_digest: str) -> dict[str, Any] | None:
    """Accuracy, macro-F1, calibration error and intervals, if they are of this model."""
    metrics = _json_object(paths.reports / "evaluation" / "metrics.json")
    if metrics.get("model_digest") != model_digest:
        return None
    recorded = ("accuracy", "macro_f1", "ece", "images", "intervals")
    return {key: metrics[key] for key in recorded if key in metrics}


def prepare_lineage(
    paths: Paths, candidate: Candidate, serving_version: str, now: datetime, override: str | None
) -> Lineage:
    """Ask for both blessings, and gather everything that is recorded of a version.

    Args:
        paths: where the reports are.
        candidate: what is to be published.
        serving_version: the TensorFlow Serving that is used in production.
        now: when.
        override: why it is published all the same; None: it is not.

    Raises:
        RefusedError: a blessing is missing, says no, or is of other bytes; all such are named.
    """
    blessings: dict[str, dict[str, Any] | None] = {}
    faults = []
    for name, ask in (("gates", _gates), ("server", _server)):
        try:
            blessings[name] = ask(paths, candidate)
        except (ArtifactError, RefusedError) as error:
            blessings[name] = None
            faults.append(str(error))
    if faults and override is None:
        lines = "\n  ".join(faults)
        raise RefusedError(f"{VERSION} was not published:\n  {lines}")
    warnings = [*faults, *_warnings(candidate.contract, serving_version, blessings["server"])]
    made = read_made(paths)
    if made.git_dirty:
        warnings.append("files that git knows had changes without a commit")
    return Lineage(
        published_at=utc(now),
        published_by=publisher(paths.root),
        model_digest=candidate.model_digest,
        version_digest=candidate.version_digest,
        made=made,
        metrics=_metrics(paths, candidate.model_digest),
        blessing=blessings["gates"],
        infra_blessing=blessings["server"],
        override=override,
        warnings=tuple(warnings),
    )
