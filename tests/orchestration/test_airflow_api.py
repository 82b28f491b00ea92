"""Airflow's REST API: a busy server is asked again, but nothing is started twice."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from sortline.core.errors import SortlineError, UnreachableError
from sortline.orchestration.airflow_api import AirflowApi


class _Busy(BaseHTTPRequestHandler):
    """Signs everybody in; answers the first `failures` calls with 503."""

    failures = 0
    asked: list[str] = []  # noqa: RUF012 (the fixture empties it)

    def _answer(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        code, body = 200, {"access_token": "token", "dag_run_id": "run"}
        if "/api/v2" in self.path:
            self.asked.append(self.command)
            if _Busy.failures:
                _Busy.failures -= 1
                code = 503
            if "unknown" in self.path:
                code = 404
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _answer  # noqa: N815 (the names that the server looks for)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[AirflowApi]:
    _Busy.asked.clear()
    with HTTPServer(("127.0.0.1", 0), _Busy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield AirflowApi(f"http://127.0.0.1:{server.server_port}", "admin", "secret")
        server.shutdown()
        thread.join()


def test_a_read_is_asked_again_and_gives_up_in_the_end(api: AirflowApi) -> None:
    _Busy.failures = 2
    assert api.call("GET", "/dags")["access_token"] == "token"
    assert _Busy.asked == ["GET"] * 3
    _Busy.failures = 3
    with pytest.raises(UnreachableError, match="503"):
        api.call("GET", "/dags")


def test_a_run_is_never_started_twice(api: AirflowApi) -> None:
    _Busy.failures = 1
    with pytest.raises(UnreachableError):
        api.trigger("dag", {})
    assert _Busy.asked == ["POST"]


def test_what_the_server_refuses_is_not_asked_again(api: AirflowApi) -> None:
    _Busy.failures = 0
    with pytest.raises(SortlineError, match="404"):
        api.call("GET", "/unknown")
    assert _Busy.asked == ["GET"]
