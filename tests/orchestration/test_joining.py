"""Pods that train one stage of a run together: each does it, one of them keeps the result."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from helpers.small_repository import commit, settings_for
from helpers.workspaces import call, git

from sortline.core.errors import ArtifactError, UnreachableError
from sortline.orchestration.done_manifest import find_done
from sortline.orchestration.plan import Plan, place_of
from sortline.orchestration.run_store import RunStore
from sortline.orchestration.settings import Settings
from sortline.orchestration.stage_run import run_worker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
_RUN = "together"
_GRAPH = """\
stages:
  first:
    cmd: python -m pipeline_steps.first
    deps: [pipeline_steps/first.py]
    outs: [made]
    meta: {resources: cpu, timeout_s: 60}
  second:
    cmd: python -m pipeline_steps.second
    deps: [made]
    outs: [result]
    meta: {resources: gpu, timeout_s: 60}
"""
_FIRST = "from pathlib import Path\nPath('made').write_text('of first')\n"
# Says who worked on what; a worker whose name is `lost` ends as one that lost another.
_SECOND = """\
import json, os, sys
from pathlib import Path
task = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
if os.environ.get("LOST") == str(task):
    sys.exit(75)
Path("result").write_text("of second")
Path(os.environ["SEEN"], str(task)).write_text(Path("made").read_text())
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A repository of two stages, with a plan for a run of it, the first stage done."""
    folder = tmp_path / "repository"
    (folder / "pipeline_steps").mkdir(parents=True)
    for name, text in {"__init__": "", "first": _FIRST, "second": _SECOND}.items():
        (folder / "pipeline_steps" / f"{name}.py").write_text(text)
    (folder / "dvc.yaml").write_text(_GRAPH)
    git(folder, "init", "--quiet", "--initial-branch=main")
    call(folder, "dvc", "init", "--quiet")
    plan = Plan(
        run_id=_RUN, revision=commit(folder, "two stages"), files={}, recipe="", data="",
        identity="x", dry_run=True, trigger="manual", created="2026-01-01", same_as=None,
    )  # fmt: skip
    settings = settings_for(folder, tmp_path)
    RunStore(settings.run_store).write(f"{place_of(_RUN)}/plan.json", asdict(plan))
    (tmp_path / "seen").mkdir()
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    for name in ("TF_CONFIG", "LOST"):
        monkeypatch.setenv(name, "")
    run_worker("first", _RUN, settings)
    monkeypatch.setenv("SORTLINE_WORKERS", "one:1,two:1")
    return settings


def _work_as(index: int, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", "")
    monkeypatch.setenv("JOB_COMPLETION_INDEX", str(index))
    run_worker("second", _RUN, settings)


def _is_done(settings: Settings) -> bool:
    store = RunStore(settings.run_store)
    plan = Plan(**store.read(f"{place_of(_RUN)}/plan.json"))
    return find_done(store, plan, "second") is not None


def test_every_worker_does_the_stage_and_the_chief_alone_keeps_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _work_as(1, settings, monkeypatch)
    assert not _is_done(settings), "a worker's result is nobody's"
    _work_as(0, settings, monkeypatch)
    assert _is_done(settings)
    seen = {path.name: path.read_text() for path in (tmp_path / "seen").iterdir()}
    assert seen == {"0": "of first", "1": "of first"}
    (tmp_path / "seen" / "1").unlink()
    _work_as(1, settings, monkeypatch)
    assert not (tmp_path / "seen" / "1").exists(), "nothing is left to do for a late one"


@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_that_lost_another_may_be_started_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    monkeypatch.setenv("LOST", str(index))
    with pytest.raises(UnreachableError):
        _work_as(index, settings, monkeypatch)
    assert not _is_done(settings)


def test_a_worker_does_not_start_below_a_stage_that_is_not_done(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = Path(settings.run_store) / f"{place_of(_RUN)}/done/first.json"
    json.loads(done.read_text())
    done.unlink()
    with pytest.raises(ArtifactError, match="first left no done-manifest"):
        _work_as(1, settings, monkeypatch)
