"""What the environment says: one list of variables, which is the whole truth."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sortline.cli.main import app
from sortline.core.errors import ParamsError
from sortline.core.settings import Settings, read_settings, required, variable

ROOT = Path(__file__).parents[2]


def shown() -> dict[str, dict[str, object]]:
    done = CliRunner().invoke(app, ["settings", "--json"], catch_exceptions=False)
    rows: dict[str, dict[str, object]] = json.loads(done.stdout)
    return rows


def test_every_variable_that_the_repository_names_is_in_the_table() -> None:
    known = {variable(field) for field in Settings.model_fields}
    folders = ("sortline", "pipeline_steps", "dags", "bench", "infra", "README.md", "examples")
    files = [path for name in folders for path in (ROOT / name, *(ROOT / name).rglob("*"))]
    texts = [file.read_bytes().decode(errors="ignore") for file in files if file.is_file()]
    named = {name for text in texts for name in re.findall(r"SORTLINE_[A-Z0-9_]*[A-Z0-9]", text)}
    # Set by a scheduler's task for its own child, and by nobody else.
    assert named - known == {"SORTLINE_ENDS_WITH_PARENT"}


def test_no_other_module_reads_a_variable_of_ours_from_the_environment() -> None:
    read = re.compile(r"""(environ(\.get|\.pop)?|getenv)[\[(]f?["']SORTLINE_""")
    files = [
        path
        for name in ("sortline", "dags", "pipeline_steps")
        for path in ROOT.glob(f"{name}/**/*.py")
    ]
    assert [str(file) for file in files if read.search(file.read_text())] == []


def test_the_table_says_what_is_set_and_what_is_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORTLINE_CACHE_GB", "5")
    monkeypatch.setenv("SORTLINE_GPUS", "")
    rows = shown()
    assert (rows["SORTLINE_CACHE_GB"]["value"], rows["SORTLINE_CACHE_GB"]["is_set"]) == (
        "5.0",
        True,
    )
    assert (rows["SORTLINE_GPUS"]["value"], rows["SORTLINE_GPUS"]["is_set"]) == ("1", False)
    assert all(str(row["description"]).endswith(".") for row in rows.values())


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in ("airflow_password", "airflow_db", "notify_url", "jwt_secret"):
        monkeypatch.setenv(variable(field), "https://token-hunter2")
    monkeypatch.setenv("SORTLINE_REPOSITORY", "https://ada:hunter2@git.example/waste.git")
    assert "hunter2" not in CliRunner().invoke(app, ["settings"]).output
    assert "hunter2" not in json.dumps(shown())
    assert shown()["SORTLINE_REPOSITORY"]["value"] == "https://***@git.example/waste.git"


def test_a_misspelled_variable_is_named_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SORTLINE_WIEGHTS_DIR", "weights")
    said = CliRunner().invoke(app, ["settings"]).stderr
    assert "SORTLINE_WIEGHTS_DIR is set, and nothing reads it." in said
    assert "Did you mean SORTLINE_WEIGHTS_DIR?" in said


@pytest.mark.parametrize(
    ("name", "value"),
    [("CACHE_GB", "0"), ("CACHE_GB", "much"), ("EXECUTION", "docker"), ("MODEL_SERVER", "triton")],
)
def test_a_wrong_value_is_shown_with_what_the_variable_takes(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"SORTLINE_{name}", value)
    with pytest.raises(ParamsError, match=f"SORTLINE_{name} is '{value}'.*[.]$"):
        read_settings()


def test_a_required_variable_is_asked_for_with_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SORTLINE_IMAGE", raising=False)
    with pytest.raises(ParamsError, match=r"SORTLINE_IMAGE is not set.*example to registry"):
        required("image", "registry.example/train:1")
