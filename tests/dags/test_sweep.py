"""A sweep's graph is run once for each variant, with that variant's own recipe and changes."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.workspaces import ROOT, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_STUB = """\
#!/bin/sh
echo "$@" >> {calls}
"""


def _airflow(folder: Path, *arguments: str) -> None:
    variables = environment(
        AIRFLOW_HOME=str(folder / "airflow"),
        AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "dags"),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__API_AUTH__JWT_SECRET=base64.b64encode(os.urandom(64)).decode(),
        SORTLINE_PYTHON=str(folder / "python"),
    )
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_each_variant_goes_through_the_whole_graph(tmp_path: Path) -> None:
    stub = tmp_path / "python"  # Stands in for the project's Python: what matters is what is asked.
    stub.write_text(_STUB.format(calls=tmp_path / "calls"))
    stub.chmod(0o755)
    _airflow(tmp_path, "db", "migrate")
    asked = {"recipes": ["demo"], "changes": [{"train_phase1": {"epochs": 7}}]}
    _airflow(tmp_path, "dags", "test", "sweep", "--conf", json.dumps(asked))
    calls = (tmp_path / "calls").read_text().splitlines()
    plans = [call for call in calls if " plan " in call]
    assert any("-variant-1 --recipe demo --changes {} --dry-run true" in call for call in plans)
    assert any('--changes {"train_phase1": {"epochs": 7}}' in call for call in plans)
    for number in (1, 2):
        gates = [c for c in calls if "stage gate" in c and c.endswith(f"-variant-{number}")]
        assert len(gates) == 1
    assert "retraining compare" in calls[-1]
