"""The same DAG with PostgreSQL as Airflow's database: a whole run, then nothing new."""

from pathlib import Path

import pytest
from helpers.live_airflow import live, make_repository
from helpers.postgres_server import postgres, program

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(program("initdb") is None, reason="there is no PostgreSQL on this machine"),
]


def test_a_run_ends_and_is_not_repeated_on_postgresql(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    with postgres() as database, live(repository, database) as airflow:
        first = airflow.trigger()
        assert airflow.finished(first) == "success", airflow.log(first, "record")
        assert airflow.outcome(first) == "released"
        second = airflow.trigger()
        assert airflow.finished(second) == "success", airflow.log(second, "record")
        assert airflow.outcome(second) == "nothing new"
        assert not (repository / ".airflow" / "airflow.db").exists()
