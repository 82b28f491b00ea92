"""What schedules look for: new data, and drift of what is served.

Whoever uploads data announces it, and a schedule that looks finds it as well. Drift is the stable
version's answers against its own test split: the version's lineage names the commit of the run that
made it; that run's evaluation is the reference, and the newest dataset says whether there is
anything to learn from.
"""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sortline.core.dvc import Pin, read_pin
from sortline.core.errors import ArtifactError, UnreachableError
from sortline.orchestration.airflow_api import api_from_environment
from sortline.orchestration.clone import Clone, cloned, write_files
from sortline.orchestration.plan import CURRENT, choose_data, place_of
from sortline.orchestration.records import post
from sortline.orchestration.run_store import RunStore, safe_name
from sortline.orchestration.settings import Settings

ASSET = "sortline_dataset"
_SEEN = "data/seen.json"
_REFERENCE = ("reports/evaluation/predictions.parquet", "artifacts/manifest.parquet")
_VERDICTS = (0, 4, 5)  # Exit statuses of `sortline drift`: stable, drift, too few images to say.


def publish_data(root: Path, settings: Settings) -> Pin:
    """Push the dataset that `root`/data.dvc pins, and make it the newest for every run to come.

    Raises:
        DataError: nothing is pinned.
        UnreachableError: the repository or the DVC remote does not answer.
    """
    data = read_pin(root / "data.dvc")
    own_cache = replace(settings, dvc_cache=settings.dvc_cache or root / ".dvc" / "cache")
    with cloned(own_cache, f"data-{data.digest[:12]}", "HEAD", {}) as clone:
        committed = read_pin(clone.folder / "data.dvc")
        write_files(clone.folder, {"data.dvc": data.text})
        clone.dvc("push", "--quiet", "data.dvc")
    told = {"data_dvc": data.text, "replaces": committed.digest}
    RunStore(settings.run_store).write(CURRENT, told)
    return data


def wake(data: Pin) -> str:
    """Tell Airflow of new data, where it can be reached; what came of it."""
    api = api_from_environment()
    later = "The DAG watch_data finds it by itself, within ten minutes."
    if api is None:
        return f"SORTLINE_AIRFLOW_URL is not set. {later}"
    try:
        api.update_asset(ASSET, {"data": data.digest})
    except UnreachableError as error:
        return f"{error} {later}"
    return "Airflow was told: a run starts now, or after the one that is going on."


def look(run_id: str, settings: Settings) -> Pin | None:
    """The newest dataset when it is not the one that was seen last; it is not noted as seen yet.

    The very first look has nothing to compare with: what git pins then is no news.

    Raises:
        UnreachableError: the repository or the run store does not answer.
    """
    store = RunStore(settings.run_store)
    with cloned(settings, f"{safe_name(run_id)}.watch", "HEAD", {}) as clone:
        newest = choose_data(clone.folder, "", store)
    seen, current = store.read(_SEEN), {"data": newest.digest}
    if seen is None and store.read(CURRENT) is None:
        store.write(_SEEN, current)
        return None
    if seen == current:
        return None
    store.write(f"{place_of(run_id)}/looked.json", current)
    return newest


def remember(run_id: str, settings: Settings) -> None:
    """Note what a look found, once a run was woken for it: a lost look is repeated."""
    store = RunStore(settings.run_store)
    store.write(_SEEN, store.read(f"{place_of(run_id)}/looked.json"))


@dataclass(frozen=True)
class Drift:
    """What a look for drift found.

    Attributes:
        drifted: whether anybody has to be told.
        text: what was found, for a person; or why nothing could be looked at.
    """

    drifted: bool
    text: str


def _commit_of(version: dict[str, Any]) -> str:
    commit = version["lineage"] and version["lineage"]["made"]["git_commit"]
    if not commit:
        raise ArtifactError(
            f"The lineage of version {version['version']} names no commit: what it said of its test"
            " split cannot be found. Promote a version that a run has published."
        )
    return str(commit)


def _judged(here: Clone, model: Clone, settings: Settings, version: int, days: int) -> Drift:
    since = datetime.now(UTC) - timedelta(days=days)
    window = ("--since", since.isoformat(timespec="seconds"), "--version", str(version))
    reference = ("--reference", str(model.folder / "reports" / "evaluation"))
    log = str(settings.prediction_log)
    judged = here.answer("drift", log, *reference, *window, statuses=_VERDICTS)
    text = (
        f"Version {version}, the last {days} days: {judged['verdict']} ({judged['reason']})."
        f" To retrain on: {judged['retrain_reason']}."
    )
    return Drift(judged["verdict"] == "drift", text)


def look_for_drift(run_id: str, settings: Settings, days: int) -> Drift:
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
        return Drift(False, f"{' and '.join(unset)} not set: there is nothing to compare.")
    store, place, releases = RunStore(settings.run_store), safe_name(run_id), str(settings.releases)
    with cloned(settings, f"{place}.drift", "HEAD", {}) as here:
        versions = here.answer("releases", releases)["versions"]
        stable = next((version for version in versions if "stable" in version["labels"]), None)
        if stable is None:
            return Drift(False, f"No version in {releases} is stable: nothing is served.")
        with cloned(settings, f"{place}.model", _commit_of(stable), {}) as model:
            model.dvc("pull", "--quiet", *_REFERENCE)
            # What there is to learn from: the newest dataset, not the one that git pins.
            write_files(here.folder, {"data.dvc": choose_data(here.folder, "", store).text})
            drift = _judged(here, model, settings, stable["version"], days)
    if drift.drifted:
        store.write(f"{place_of(run_id)}/drift.json", asdict(drift))
    return drift


def alert(run_id: str, settings: Settings) -> str:
    """Tell people of the drift that a look found; the text that was said.

    Raises:
        ArtifactError: it found none.
        UnreachableError: the message cannot be delivered.
    """
    drift = RunStore(settings.run_store).read(f"{place_of(run_id)}/drift.json")
    if drift is None:
        raise ArtifactError(f"The run {run_id} has found no drift. Clear look_for_drift.")
    text = f"The predictions drifted. {drift['text']}"
    if settings.notify_url:
        post(settings.notify_url, text)
    return text
