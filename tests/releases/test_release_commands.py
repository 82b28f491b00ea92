"""The four commands as a person or a script meets them: words, exit codes, settings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.promotion_parts import opened
from helpers.release_parts import REPOSITORY, Candidates
from typer.testing import CliRunner

from sortline.cli.main import app
from sortline.core.entry import exit_code_of

pytest_plugins = ["helpers.release_fixtures", "helpers.promotion_fixtures"]


@pytest.fixture
def repository(candidates: Candidates, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with settings that waste no time; commands are run in it."""
    root = candidates.paths.root
    root.mkdir(parents=True)
    text = (REPOSITORY / "params.yaml").read_text()
    for long, short in (("soak_s: 60.0", "soak_s: 0.0"), ("deadline_s: 300.0", "deadline_s: 30.0")):
        assert long in text
        text = text.replace(long, short)
    (root / "params.yaml").write_text(text)
    monkeypatch.chdir(root)
    return root


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    code = exit_code_of(lambda: app(list(arguments), standalone_mode=False))
    said = capsys.readouterr()
    # The replicas run in this process, and talk.
    own = [line for line in said.err.splitlines(True) if not line.startswith("model_server:")]
    return code, said.out, "".join(own)


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "store")


def test_publish_promote_rollback_releases(
    repository: Path,
    store: str,
    candidates: Candidates,
    models: list[Path],
    targets: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    endpoints = ("--endpoints", ",".join(targets))
    for number in (1, 2):
        candidates.take(models[number])
        assert call(capsys, "publish", store) == (0, f"{store}/{number}: published\n", "")
        code, out, err = call(capsys, "promote", str(number), store, *endpoints)
        assert (code, out) == (0, f"{store}/{number}: stable\n")
        assert f"stable is version {number}" in err
    again = call(capsys, "publish", store)
    assert again == (0, f"{store}/2: the same content is there already\n", "")
    code, out, _ = call(
        capsys, "rollback", store, "--endpoint", targets[0], "--endpoint", targets[1]
    )
    assert (code, out) == (0, f"{store}/1: stable (it was 2)\n")
    code, out, _ = call(capsys, "releases", store, "--json", *endpoints)
    newest, oldest = json.loads(out)["versions"]
    assert oldest["labels"] == ["canary", "stable"]
    assert oldest["states"] == dict.fromkeys(targets, "AVAILABLE")
    assert newest["labels"] == []
    code, out, err = call(capsys, "releases", store, "--prune", "--keep", "1", *endpoints)
    assert code == 0
    assert "pruned: nothing" in err
    assert "AVAILABLE" in out
    assert "2/2" in out


def test_a_refusal_is_three_and_a_failure_two(
    repository: Path,
    store: str,
    candidates: Candidates,
    models: list[Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    candidates.take(models[0])
    (candidates.paths.reports / "blessing.json").unlink()
    code, _, err = call(capsys, "publish", store)
    assert code == 3
    assert "blessing.json is missing" in err
    candidates.bless()
    assert call(capsys, "publish", store)[0] == 0
    code, _, err = call(capsys, "promote", "2", store)
    assert (code, "no version 2" in err) == (3, True)
    code, _, err = call(capsys, "promote", "1", store, "--endpoints", "127.0.0.1:1")
    assert (code, "127.0.0.1:1: UNAVAILABLE" in err) == (2, True)
    assert call(capsys, "rollback", store)[0] == 3
    assert call(capsys, "releases", store + "/none")[0] == 2
    code, _, err = call(capsys, "releases", store, "--endpoints", "127.0.0.1:1")
    assert (code, "127.0.0.1:1: UNAVAILABLE" in err) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("publish", "x", "--override"), "wants --reason"),
        (("publish", "x", "--override", "--reason", " "), "wants --reason"),
        (("publish", "x", "--reason", "y"), "ignored without --override"),
        (("promote", "latest", "x"), "'latest' is not a version"),
        (("promote", "007", "x"), "'007' is not a version"),
        (("promote", "1", "x", "--metrics", "http://x"), "ignored without --endpoints"),
        (("promote", "1", "x", "--endpoints", "h:1", "--key", "k"), "no certificate"),
        (("releases", "x", "--keep", "2"), "ignored without --prune"),
        (("publish", "ftp://x"), "cannot be reached"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_two(
    repository: Path,
    candidates: Candidates,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    candidates.make()
    code, _, err = call(capsys, *arguments)
    assert (code, said in err) == (2, True), err
    assert not (repository / "x").exists()


def test_an_override_is_published_with_a_warning(
    repository: Path, store: str, candidates: Candidates, capsys: pytest.CaptureFixture[str]
) -> None:
    candidates.make()
    (candidates.paths.reports / "infra_blessing.json").unlink()
    code, _, err = call(capsys, "publish", store, "--override", "--reason", "no server here")
    assert (code, "warning: " in err) == (0, True)
    with opened(Path(store)) as found:
        assert found.list().published == {1}


def test_a_run_in_another_folder_is_published(
    repository: Path, store: str, candidates: Candidates, capsys: pytest.CaptureFixture[str]
) -> None:
    candidates.make()
    runs = repository / "runs" / "demo"
    runs.mkdir(parents=True)
    for part in ("artifacts", "reports"):
        (repository / part).rename(runs / part)
    code, _, err = call(capsys, "publish", store, "--root", "runs/demo")
    assert (code, err) == (0, "")
    assert not (runs / ".sortline").exists()
    assert call(capsys, "publish", store)[0] == 2


@pytest.mark.parametrize("command", ["publish", "promote", "rollback", "releases"])
def test_help_needs_nothing(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert "STORE" in done.output


def test_publishing_and_rolling_back_need_neither_tensorflow_nor_pandas() -> None:
    code = (
        "import sys, sortline.cli.release;"
        "from sortline.releases import promote, publish, rollback, store, sync, versions;"
        "print({'tensorflow', 'keras', 'pandas', 'boto3'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
