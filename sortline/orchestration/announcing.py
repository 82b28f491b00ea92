"""New data: whoever uploads it announces it, and a schedule that looks finds it as well."""

from dataclasses import replace
from pathlib import Path

from sortline.core.dvc import Pin, read_pin
from sortline.core.errors import ParamsError, UnreachableError
from sortline.core.settings import read_settings
from sortline.orchestration.airflow_api import AirflowApi
from sortline.orchestration.clone import cloned, write_files
from sortline.orchestration.data_revision import CURRENT, choose
from sortline.orchestration.plan import place_of
from sortline.orchestration.run_store import RunStore, safe_name
from sortline.orchestration.settings import Settings

ASSET = "sortline_dataset"
_SEEN = "data/seen.json"


def api_from_environment() -> AirflowApi | None:
    """Airflow's API, where SORTLINE_AIRFLOW_URL, _USER and _PASSWORD say; None without a URL.

    Raises:
        ParamsError: there is a URL, and no user or no password.
    """
    settings = read_settings()
    if not settings.airflow_url:
        return None
    if not settings.airflow_user or not settings.airflow_password:
        raise ParamsError("SORTLINE_AIRFLOW_URL needs SORTLINE_AIRFLOW_USER and _PASSWORD besides.")
    password = settings.airflow_password.get_secret_value()
    return AirflowApi(settings.airflow_url, settings.airflow_user, password)


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
        newest = choose(clone.folder, "", store)
    seen, found = store.read(_SEEN), {"data": newest.digest}
    if seen is None and store.read(CURRENT) is None:
        store.write(_SEEN, found)
        return None
    if seen == found:
        return None
    store.write(f"{place_of(run_id)}/looked.json", found)
    return newest


def remember(run_id: str, settings: Settings) -> None:
    """Note what a look found, once a run was woken for it: a lost look is repeated."""
    store = RunStore(settings.run_store)
    store.write(_SEEN, store.read(f"{place_of(run_id)}/looked.json"))
