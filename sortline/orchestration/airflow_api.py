"""Airflow's REST API, as far as this project asks it: runs, assets, pools."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from sortline.core.errors import ParamsError, SortlineError, UnreachableError
from sortline.core.settings import read_settings

_TIMEOUT_S = 30.0
_READS = 3  # A read that a busy server did not answer in time is simply asked again.


class AirflowApi:
    """A session with an API server.

    Raises:
        UnreachableError: of every method, when it does not answer, or not usefully.
        SortlineError: of every method, when it refuses.
    """

    def __init__(self, address: str, user: str, password: str) -> None:
        self.address = address.rstrip("/")
        self._credentials = {"username": user, "password": password}
        self._token: str | None = None

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            kind = UnreachableError if error.code >= 500 else SortlineError
            raise kind(f"{self.address} answered {method} {path}: {error.code} {text}") from error
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise UnreachableError(f"{self.address} does not answer: {error}.") from error

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call `path` below /api/v2, signing in first when that was not done yet."""
        if self._token is None:
            self._token = self._send("POST", "/auth/token", self._credentials)["access_token"]
        for _ in range(_READS - 1 if method == "GET" else 0):
            try:
                return self._send(method, f"/api/v2{path}", body)
            except UnreachableError:
                continue
        return self._send(method, f"/api/v2{path}", body)

    def health(self) -> dict[str, Any]:
        """State of every component; asks for no password."""
        answer: dict[str, Any] = self._send("GET", "/api/v2/monitor/health", None)
        return answer

    def trigger(self, dag_id: str, conf: Mapping[str, Any], run_id: str | None = None) -> str:
        """Start a run; its id."""
        body: dict[str, Any] = {"logical_date": None, "conf": dict(conf)}
        if run_id:
            body["dag_run_id"] = run_id
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def update_asset(self, name: str, extra: Mapping[str, Any]) -> None:
        """Tell that an asset, by its name, was updated.

        Raises:
            SortlineError: no DAG knows such an asset.
        """
        query = urllib.parse.urlencode({"name_pattern": name})
        listed = self.call("GET", f"/assets?{query}")["assets"]
        ids = [asset["id"] for asset in listed if asset["name"] == name]
        if not ids:
            raise SortlineError(f"{self.address} knows no asset {name!r}: is dags/ deployed there?")
        self.call("POST", "/assets/events", {"asset_id": ids[0], "extra": dict(extra)})


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
