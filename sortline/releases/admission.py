"""Whether a model may be published: both blessings, and that they are of the bytes at hand."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sortline.core.errors import ArtifactError, RefusedError
from sortline.core.files import digest_tree, read_json
from sortline.core.paths import Paths
from sortline.evaluation.blessing import read_blessing, short
from sortline.model.contract import Contract, read_contract, verify
from sortline.releases.lineage import LINEAGE

VERSION = "artifacts/version"
_STAND_IN = "stand-in"
_GATED = "dvc repro gate"
_VALIDATED = "sortline infra-validate"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Server(_Part):
    """Who judged."""

    kind: str
    version: str | None


class WarmUp(_Part):
    """How many requests the version brings, and whether the server has played them."""

    records: int
    ran: bool | None


class InfraBlessing(_Part):
    """What publishing needs of reports/infra_blessing.json."""

    blessed: bool
    model_digest: str
    version_digest: str
    server: Server
    warmup: WarmUp
    reason: str | None = None


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


@dataclass(frozen=True)
class Admission:
    """Both blessings as JSON, None where one is missing and overridden; and what to warn of."""

    blessing: dict[str, Any] | None
    infra_blessing: dict[str, Any] | None
    warnings: tuple[str, ...]


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
    path = paths.reports / "infra_blessing.json"
    content = read_json(path, _VALIDATED)
    try:
        found = InfraBlessing.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ArtifactError(f"{path}: {where}: {fault['msg']}. Run `{_VALIDATED}`.") from error
    named, seen = found.version_digest, candidate.version_digest
    if (found.model_digest, named) != (candidate.model_digest, seen):
        raise RefusedError(
            f"reports/infra_blessing.json is of the version {short(named)} of the model"
            f" {short(found.model_digest)}; {VERSION} is {short(seen)} of"
            f" {short(candidate.model_digest)}. Run `{_VALIDATED}`."
        )
    if not found.blessed:
        raise RefusedError(f"The server refuses this model: {found.reason}. See {path}.")
    return dict(content)


def _release(version: str) -> tuple[int, ...]:
    parts = version.split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


def version_warnings(contract: Contract, serving_version: str) -> list[str]:
    """What may go wrong with a TensorFlow Serving of this version."""
    found, pinned = [], _release(serving_version)
    exported = contract.versions.get("tensorflow")
    if exported and _release(exported) > pinned:
        found.append(
            f"exported by TensorFlow {exported}, newer than the TensorFlow Serving"
            f" {serving_version} of publish.serving_version"
        )
    if _release(contract.min_serving_version) > pinned:
        found.append(
            f"needs TensorFlow Serving {contract.min_serving_version}; publish.serving_version is"
            f" {serving_version}"
        )
    return found


def _judge_warnings(infra: dict[str, Any]) -> list[str]:
    judged, found = InfraBlessing.model_validate(infra), []
    if judged.server.kind == _STAND_IN:
        found.append("judged by the stand-in alone: TensorFlow Serving itself has not loaded it")
    if not judged.warmup.ran:
        found.append("its warm-up requests were not played by the server that judged it")
    return found


def admit(
    paths: Paths, candidate: Candidate, serving_version: str, override: str | None
) -> Admission:
    """Ask for both blessings.

    Args:
        paths: where the reports are.
        candidate: what is to be published.
        serving_version: the TensorFlow Serving that is used in production.
        override: why it is published all the same; None: it is not.

    Raises:
        RefusedError: a blessing is missing, says no, or is of other bytes; all such are named.
    """
    asked: dict[str, tuple[dict[str, Any] | None, str]] = {}
    for name, ask in (("gates", _gates), ("server", _server)):
        try:
            asked[name] = ask(paths, candidate), ""
        except (ArtifactError, RefusedError) as error:
            asked[name] = None, str(error)
    faults = [fault for _, fault in asked.values() if fault]
    if faults and override is None:
        lines = "\n  ".join(faults)
        raise RefusedError(f"{VERSION} was not published:\n  {lines}")
    (gates, _), (server, _) = asked["gates"], asked["server"]
    warnings = [*faults, *version_warnings(candidate.contract, serving_version)]
    warnings += _judge_warnings(server) if server else []
    return Admission(gates, server, tuple(warnings))
