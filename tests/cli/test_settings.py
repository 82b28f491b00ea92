"""`sortline settings` lists every variable that the code reads, and shows no secret."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sortline.cli.main import app
from sortline.core.settings import Settings, variable

ROOT = Path(__file__).parents[2]
# Set by a process of ours for its own child; nobody else sets it.
_BESIDE = {"SORTLINE_ENDS_WITH_PARENT"}


def test_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORTLINE_AIRFLOW_PASSWORD", "hunter2")
    monkeypatch.setenv("SORTLINE_REPOSITORY", "https://ada:hunter2@git.example/sortline")
    monkeypatch.setenv("SORTLINE_GPUS", "3")
    for arguments in ([], ["--json"]):
        printed = CliRunner().invoke(app, ["settings", *arguments])
        assert printed.exit_code == 0
        assert "hunter2" not in printed.output
    facts = json.loads(printed.output)
    assert facts["SORTLINE_GPUS"]["value"] == "3"
    assert facts["SORTLINE_GPUS"]["is_set"]
    assert not facts["SORTLINE_NAMESPACE"]["is_set"]


def test_a_variable_that_the_code_names_is_on_the_list() -> None:
    known = {variable(name) for name in Settings.model_fields} | _BESIDE
    for folder in ("sortline", "pipeline_steps", "dags", "infra/tools"):
        for path in (ROOT / folder).rglob("*.py"):
            named = set(re.findall(r"SORTLINE_[A-Z0-9_]*[A-Z0-9]", path.read_text()))
            assert named <= known, path


def test_one_module_alone_reads_the_variables() -> None:
    reads = re.compile(r"environ(\.get\(|\[)\"SORTLINE|getenv\(\"SORTLINE")
    for folder in ("sortline", "pipeline_steps", "dags"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not reads.search(path.read_text()), path
