"""The drift of what is served is found by a schedule, and told; without a drift nobody is woken."""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.small_repository import DATA_MD5, commit, data_dvc, make_repository, settings_for
from helpers.workspaces import git, write_params

from sortline.client.model_config import (
    Served,
    parse_config,
    to_text,
    with_served,
)
from sortline.core.dvc import write_lock
from sortline.core.errors import ArtifactError
from sortline.core.logged_predictions import LoggedPrediction
from sortline.core.prediction_log import PredictionLog
from sortline.orchestration.plan import CURRENT
from sortline.orchestration.run_store import RunStore
from sortline.orchestration.settings import Settings
from sortline.orchestration.watch import Drift, alert, look_for_drift
from sortline.releases.records import Lineage, Made, Record
from sortline.releases.store import CONFIG, record_name

OTHER = "f" * 32 + ".dir"
LABELS = ("can", "jar")
IMAGES = 40


def _sha(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


def _stored(remote: Path, table: pd.DataFrame, path: str) -> dict[str, Any]:
    """A table where DVC finds it; its out in dvc.lock."""
    remote.mkdir(parents=True, exist_ok=True)
    table.to_parquet(remote / "new.parquet")
    digest = hashlib.md5((remote / "new.parquet").read_bytes(), usedforsecurity=False).hexdigest()
    place = remote / "files" / "md5" / digest[:2] / digest[2:]
    place.parent.mkdir(parents=True, exist_ok=True)
    (remote / "new.parquet").rename(place)
    return {"path": path, "hash": "md5", "md5": digest, "size": place.stat().st_size}


def _answers_on_the_test_split() -> pd.DataFrame:
    said = [LABELS[number % 2] for number in range(IMAGES)]
    shas = [_sha(number) for number in range(IMAGES)]
    columns = {"sha256": shas, "predicted": said, "probability": 0.8, "valid": True}
    return pd.DataFrame({**columns, "p_can": 0.5, "p_jar": 0.5})


def _commit_of_a_run(repository: Path, remote: Path) -> str:
    """The branch of a run, which keeps what its model said of the test split."""
    git(repository, "checkout", "--quiet", "-b", "runs/first")
    answers = _answers_on_the_test_split()
    predictions = _stored(remote, answers, "reports/evaluation/predictions.parquet")
    manifest = _stored(remote, answers[["sha256"]], "artifacts/manifest.parquet")
    data = {"path": "data", "hash": "md5", "md5": DATA_MD5}
    lock = {
        "validate": {"cmd": "x", "deps": [data], "outs": [manifest]},
        "evaluate": {"cmd": "x", "outs": [predictions]},
    }
    write_lock(repository, lock)
    made = commit(repository, "Run first")
    git(repository, "checkout", "--quiet", "main")
    return made


def _release(folder: Path, made_at: str | None) -> None:
    """A store with a version 3 that is stable."""
    made = Made(
        git_commit=made_at,
        git_dirty=False,
        dvc_lock=None,
        data=DATA_MD5,
        weights=None,
        weights_sha256=None,
    )
    lineage = Lineage(
        published_at="2026-11-21T10:00:00+00:00",
        published_by="test",
        model_digest="",
        version_digest="",
        made=made,
        metrics=None,
        blessing=None,
        infra_blessing=None,
        override="a test",
        warnings=(),
    )
    record = Record(version=3, state="published", token="", files={}, lineage=lineage)
    (folder / record_name(3)).parent.mkdir(parents=True, exist_ok=True)
    (folder / record_name(3)).write_bytes(record.to_bytes())
    (folder / "3").mkdir(exist_ok=True)
    (folder / "3" / "saved_model.pb").write_bytes(b"")
    served = Served(frozenset({3}), {"stable": 3})
    text = to_text(with_served(parse_config(b"", ""), "sortline", str(folder), served))
    (folder / CONFIG).write_bytes(text)


def _answered(folder: Path, labels: tuple[str, ...]) -> str:
    """A prediction log of today, in which these labels take turns."""
    with PredictionLog(folder) as log:
        for number in range(IMAGES):
            label = labels[number % len(labels)]
            log(
                LoggedPrediction(
                    time=datetime.now(UTC),
                    model="sortline",
                    version=3,
                    sha256=_sha(1000 + number),
                    class_id=LABELS.index(label),
                    label=label,
                    probabilities=tuple(0.8 if each == label else 0.2 for each in LABELS),
                    valid=True,
                    latency_s=0.01,
                    image=b"",
                )
            )
    return str(folder)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A repository, whose run `first` made the version that is stable."""
    folder = tmp_path_factory.mktemp("served")
    repository = make_repository(folder / "repository")
    write_params(repository, {"drift": {"min_images": 20}})
    commit(repository, "drift of few images")
    _release(folder / "releases", _commit_of_a_run(repository, folder / "remote"))
    return settings_for(repository, folder, releases=str(folder / "releases"))


class _Messages(BaseHTTPRequestHandler):
    got: list[str] = []  # noqa: RUF012 (the one test that listens reads it)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append(json.loads(body)["text"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def listener() -> Iterator[str]:
    """Somebody who gets messages."""
    with HTTPServer(("127.0.0.1", 0), _Messages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_drift_is_told_with_whether_there_is_new_data(
    served: Settings, listener: str, tmp_path: Path
) -> None:
    announced = {"data_dvc": data_dvc(OTHER), "replaces": DATA_MD5}
    RunStore(served.run_store).write(CURRENT, announced)
    log = _answered(tmp_path / "log", ("jar",))
    settings = replace(served, prediction_log=log, notify_url=listener)
    found = look_for_drift("scheduled__1", settings, days=7)
    assert found.drifted
    assert "Version 3, the last 7 days: drift (index" in found.text
    assert f"data.dvc pins {OTHER}; the model learned from {DATA_MD5}" in found.text
    alert("scheduled__1", settings)
    assert _Messages.got == [f"The predictions drifted. {found.text}"]
    assert list(settings.work.glob("scheduled--1*")) == []


@pytest.mark.slow
def test_answers_like_those_of_the_test_split_wake_nobody(served: Settings, tmp_path: Path) -> None:
    log = _answered(tmp_path / "log", LABELS)
    found = look_for_drift("scheduled__2", replace(served, prediction_log=log), days=7)
    assert not found.drifted
    assert "stable" in found.text
    with pytest.raises(ArtifactError, match="found no drift"):
        alert("scheduled__2", served)


def test_a_version_whose_evaluation_is_lost_is_no_silence(served: Settings, tmp_path: Path) -> None:
    _release(tmp_path / "releases", None)
    log = _answered(tmp_path / "log", LABELS)
    settings = replace(served, prediction_log=log, releases=str(tmp_path / "releases"))
    with pytest.raises(ArtifactError, match="version 3 names no commit"):
        look_for_drift("scheduled__3", settings, days=7)


def test_nothing_is_looked_for_where_nothing_is_logged(served: Settings) -> None:
    found = look_for_drift("scheduled__4", served, days=7)
    assert found == Drift(False, "SORTLINE_PREDICTION_LOG not set: there is nothing to compare.")
