"""Whether what is served has drifted: the stable version's answers against its own test split.

The version's lineage names the commit of the run that made it; that run's evaluation is the
reference, and the newest dataset says whether there is anything to learn from.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sortline.core.errors import ArtifactError
from sortline.orchestration.clone import Clone, cloned, write_files
from sortline.orchestration.data_revision import choose
from sortline.orchestration.notify import post
from sortline.orchestration.plan import place_of
from sortline.orchestration.run_store import RunStore, safe_name
from sortline.orchestration.settings import Settings

_REFERENCE = ("reports/evaluation/predictions.parquet", "artifacts/manifest.parquet")
_VERDICTS = (0, 4, 5)  # Exit statuses of `sortline drift`: stable, drift, too few images to say.


@dataclass(frozen=True)
class Look:
    """What was found.

    Attributes:
        drifted: whether anybody has to be told.
        text: what was found, for a person; or why nothing could be looked at.
    """

    drifted: bool
    text: str


def _stable(here: Clone, releases: str) -> dict[str, Any] | None:
    """The version that clients get who ask for `stable`, with its lineage; None: there is none."""
    versions = here.answer("releases", releases)["versions"]
    return next((each for each in versions if "stable" in each["labels"]), None)


def _commit_of(version: dict[str, Any]) -> str:
    commit = version["lineage"] and version["lineage"]["made"]["git_commit"]
    if not commit:
        raise ArtifactError(
            f"The lineage of version {version['version']} names no commit: what it said of its test"
            " split cannot be found. Promote a version that a run has published."
        )
    return str(commit)


def _bring(here: Clone, model: Clone, store: RunStore) -> None:
    """Its evaluation into the model's clone; the newest dataset's name into the other."""
    model.dvc("pull", "--quiet", *_REFERENCE)
    write_files(here.folder, {"data.dvc": choose(here.folder, "", store).text})


def _judged(here: Clone, model: Clone, settings: Settings, version: int, days: int) -> Look:
    since = datetime.now(UTC) - timedelta(days=days)
    window = ("--since", since.isoformat(timespec="seconds"), "--version", str(version))
    reference = ("--reference", str(model.folder / "reports" / "evaluation"))
    log = str(settings.prediction_log)
    found = here.answer("drift", log, *reference, *window, statuses=_VERDICTS)
    text = (
        f"Version {version}, the last {days} days: {found['verdict']} ({found['reason']})."
        f" To retrain on: {found['retrain_reason']}."
    )
    return Look(found["verdict"] == "drift", text)


def _look(run_id: str, settings: Settings, releases: str, days: int) -> Look:
    place = safe_name(run_id)
    with cloned(settings, f"{place}.drift", "HEAD", {}) as here:
        version = _stable(here, releases)
        if version is None:
            return Look(False, f"No version in {releases} is stable: nothing is served.")
        with cloned(settings, f"{place}.model", _commit_of(version), {}) as model:
            _bring(here, model, RunStore(settings.run_store))
            return _judged(here, model, settings, version["version"], days)


def look_for_drift(run_id: str, settings: Settings, days: int) -> Look:
    """Compare the stable version's answers of the last days with those on its test split.

    Raises:
        ArtifactError: the version's evaluation cannot be found.
        SortlineError: the log, the store or the settings are refused.
        UnreachableError: the repository, the DVC remote or a store does not answer.
    """
    missing = {
        "SORTLINE_PREDICTION_LOG": settings.prediction_log,
        "SORTLINE_RELEASES": settings.releases,
    }
    if unset := [name for name, value in missing.items() if not value]:
        return Look(False, f"{' and '.join(unset)} not set: there is nothing to compare.")
    found = _look(run_id, settings, str(settings.releases), days)
    if found.drifted:
        RunStore(settings.run_store).write(f"{place_of(run_id)}/drift.json", asdict(found))
    return found


def alert(run_id: str, settings: Settings) -> str:
    """Tell people of the drift that a look found; the text that was said.

    Raises:
        ArtifactError: it found none.
        UnreachableError: the message cannot be delivered.
    """
    found = RunStore(settings.run_store).read(f"{place_of(run_id)}/drift.json")
    if found is None:
        raise ArtifactError(f"The run {run_id} has found no drift. Clear look_for_drift.")
    text = f"The predictions drifted. {found['text']}"
    if settings.notify_url:
        post(settings.notify_url, text)
    return text
