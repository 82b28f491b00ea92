"""An Airflow on this machine: its secrets stay, its settings reach it, nothing is sent home."""

import os
import stat
import sys
from pathlib import Path

import pytest

from sortline.core.errors import ParamsError
from sortline.orchestration.embedded import components_for
from sortline.orchestration.embedded_home import (
    environment,
    prepare,
    tell_clients,
    use_local_airflow,
)


def test_password_and_secret_are_kept_and_are_nobody_elses(tmp_path: Path) -> None:
    first = prepare(tmp_path, tmp_path / ".airflow", 8080)
    second = prepare(tmp_path, tmp_path / ".airflow", 0)
    assert (first.password, first.secret) == (second.password, second.secret)
    assert len(first.secret.encode()) >= 64
    for name in ("secrets.json", "passwords.json"):
        assert stat.S_IMODE((tmp_path / ".airflow" / name).stat().st_mode) == 0o600


def test_what_the_user_sets_goes_before_ours(tmp_path: Path) -> None:
    home = prepare(tmp_path, tmp_path / ".airflow", 8080)
    made = environment(home, {"SORTLINE_RELEASES": "s3://releases", "PATH": "/bin"})
    assert made["SORTLINE_RELEASES"] == "s3://releases"
    assert made["SORTLINE_REPOSITORY"] == str(tmp_path)
    assert made["AIRFLOW__CORE__PARALLELISM"] == "4"
    assert made["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] == "False"
    assert made["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith("sqlite:///")


def test_postgresql_is_reached_by_its_plain_address(tmp_path: Path) -> None:
    home = prepare(tmp_path, tmp_path / ".airflow", 8080, "postgresql://me@host/airflow")
    assert home.database == "postgresql+psycopg2://me@host/airflow"


def test_tasks_that_are_pods_do_not_wait_for_ever() -> None:
    assert "triggerer" in components_for({"SORTLINE_EXECUTION": "kubernetes"})
    assert "triggerer" not in components_for({})


def test_a_missing_driver_is_named_with_the_extra_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(ParamsError, match=r"sortline\[airflow-postgresql\]"):
        prepare(tmp_path, tmp_path / ".airflow", 8080, "postgresql://me@host/airflow")


def test_a_person_in_the_repository_reaches_it_without_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("SORTLINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SORTLINE_RELEASES", "s3://mine")
    before = dict(os.environ)
    tell_clients(prepare(tmp_path, tmp_path / ".airflow", 8123))
    try:
        use_local_airflow(tmp_path)
        assert os.environ["SORTLINE_AIRFLOW_URL"] == "http://127.0.0.1:8123"
        assert os.environ["SORTLINE_RELEASES"] == "s3://mine"
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
