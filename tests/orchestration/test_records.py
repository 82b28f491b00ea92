"""How a run ended is read from what it left, and said to people; no success is taken on trust."""

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from helpers.small_repository import branches, make_repository, settings_for

from sortline.core.errors import ArtifactError, ParamsError, SortlineError, UnreachableError
from sortline.core.graph import read_graph
from sortline.orchestration.actions import BLESSING, acted_name, why_skipped
from sortline.orchestration.done_manifest import (
    Done,
    check_deps,
    done_of,
    find_done,
    require_done,
    write_done,
)
from sortline.orchestration.plan import Plan, Request, make_plan, read_plan, record_name
from sortline.orchestration.records import (
    METRICS,
    make_record,
    note_error,
    notify,
    post,
    variant_table,
    variants,
)
from sortline.orchestration.run_store import RunStore
from sortline.orchestration.settings import Settings

RUN = "manual__2026-11-21T10:00:00+00:00"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("records") / "repository")


@pytest.fixture(scope="module")
def planned(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("planned")
    return make_plan(Request(RUN), settings_for(repository, folder))


@pytest.fixture
def settings(repository: Path, planned: Plan, tmp_path: Path) -> Settings:
    made = settings_for(repository, tmp_path)
    _store(made).write("runs/manual--2026-11-21T10-00-00-00-00/plan.json", planned.__dict__)
    return made


def _store(settings: Settings) -> RunStore:
    return RunStore(settings.run_store)


def _entry(name: str) -> dict[str, Any]:
    return {"cmd": f"python -m pipeline_steps.{name}", "outs": [{"path": name, "md5": "1" * 32}]}


def _finish(settings: Settings, plan: Plan, *, blessed: bool = True, until: str = "gate") -> None:
    verdict = {"gate": "min_accuracy", "passed": blessed, "reason": "accuracy 0.5"}
    metrics: dict[str, dict[str, Any]] = {
        "evaluate": {METRICS: {"accuracy": 0.5, "macro_f1": 0.25}},
        "gate": {BLESSING: {"blessed": blessed, "verdicts": [verdict]}},
    }
    for name in read_graph(Path(settings.repository)):
        done = done_of(plan, name, _entry(name), metrics.get(name, {}))
        write_done(_store(settings), plan.run_id, done)
        if name == until:
            return


def test_a_stage_that_left_nothing_is_not_believed(settings: Settings) -> None:
    plan = read_plan(_store(settings), RUN)
    _finish(settings, plan, until="validate")
    with pytest.raises(ArtifactError, match="augment left no done-manifest"):
        require_done(_store(settings), plan, ["validate", "augment"])


def test_a_manifest_of_another_plan_or_a_changed_one_is_refused(settings: Settings) -> None:
    store, plan = _store(settings), read_plan(_store(settings), RUN)
    for wrong in ({"identity": "other"}, {"outs": {"validate": "2" * 32}}):
        done = done_of(plan, "validate", _entry("validate"), {})
        write_done(store, RUN, replace(done, **wrong))  # type: ignore[arg-type,unused-ignore]
        with pytest.raises(ArtifactError, match="not of this run's plan"):
            find_done(store, plan, "validate")


def test_a_stage_that_read_something_else_than_was_made_is_refused(repository: Path) -> None:
    stage = read_graph(repository)["augment"]
    above = {"validate": Done("validate", "", {"manifest": "1" * 32}, "", {}, {})}
    check_deps(stage, {"deps": [{"path": "manifest", "md5": "1" * 32}]}, above)
    with pytest.raises(ArtifactError, match="augment read manifest"):
        check_deps(stage, {"deps": [{"path": "manifest", "md5": "2" * 32}]}, above)


def test_a_refusal_is_a_clean_ending_that_is_not_trained_again(settings: Settings) -> None:
    plan = read_plan(_store(settings), RUN)
    _finish(settings, plan, blessed=False)
    record = make_record(RUN, settings)
    assert (record.outcome, record.failed_task) == ("refused", None)
    assert "accuracy 0.5" in record.message
    assert record.branch in branches(Path(settings.repository))
    assert _store(settings).read(record_name(plan.identity, dry_run=False))["run_id"] == RUN
    again = make_plan(Request("again"), settings)
    assert again.same_as == RUN
    assert make_record("again", settings).outcome == "nothing new"


def test_nothing_is_published_of_a_refused_model(settings: Settings) -> None:
    plan = read_plan(_store(settings), RUN)
    _finish(settings, plan, blessed=False)
    with pytest.raises(ArtifactError, match="refused"):
        why_skipped("publish", plan, _store(settings), replace(settings, releases="store"))


def test_a_failed_stage_is_named_with_what_it_said_and_may_be_repeated(settings: Settings) -> None:
    plan = read_plan(_store(settings), RUN)
    _finish(settings, plan, until="augment")
    note_error(_store(settings), RUN, "train_phase1", "the disk is full")
    record = make_record(RUN, settings)
    assert (record.outcome, record.failed_task) == ("failed", "train_phase1")
    assert record.message == "the disk is full"
    assert _store(settings).read(record_name(plan.identity, dry_run=False)) is None


def test_a_run_without_a_plan_failed_in_its_first_task(settings: Settings) -> None:
    note_error(_store(settings), "lost", "resolve_revision", "There is no recipe 'x'")
    record = make_record("lost", settings)
    assert (record.outcome, record.failed_task) == ("failed", "resolve_revision")
    assert "no recipe" in notify("lost", settings)


def test_a_model_that_passed_but_was_not_published_is_not_done(settings: Settings) -> None:
    plan, store = read_plan(_store(settings), RUN), _store(settings)
    _finish(settings, plan)
    public = replace(settings, releases="store", endpoints="localhost:8500")
    assert make_record(RUN, public).failed_task == "infra_validate"
    store.write(acted_name(RUN, "infra_validate"), {})
    assert make_record(RUN, settings).outcome == "blessed"
    assert make_record(RUN, public).failed_task == "publish"
    store.write(acted_name(RUN, "publish"), {"version": 3, "is_new": True})
    assert make_record(RUN, public).failed_task == "promote"
    store.write(acted_name(RUN, "promote"), {})
    record = make_record(RUN, public)
    assert (record.outcome, record.version) == ("released", 3)


class _Messages(BaseHTTPRequestHandler):
    got: list[str] = []  # noqa: RUF012 (each test makes a subclass)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said = json.loads(body)
        self.got.append(said.get("text") or said["message"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def test_every_ending_is_said_to_whoever_is_named(settings: Settings) -> None:
    plan = read_plan(_store(settings), RUN)
    _finish(settings, plan, blessed=False)
    make_record(RUN, settings)
    with HTTPServer(("127.0.0.1", 0), _Messages) as server:
        thread = threading.Thread(target=server.handle_request, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        notify(RUN, replace(settings, notify_url=address))
        thread.join()
    assert "refused" in _Messages.got[0]
    assert "min_accuracy: accuracy 0.5" in _Messages.got[0]
    with pytest.raises(UnreachableError, match="does not take messages"):
        notify(RUN, replace(settings, notify_url=address))


def test_a_message_goes_through_any_service_that_apprise_knows() -> None:
    class Heard(_Messages):
        got: list[str] = []  # noqa: RUF012

    with HTTPServer(("127.0.0.1", 0), Heard) as server:
        thread = threading.Thread(target=server.handle_request, daemon=True)
        thread.start()
        post(f"json://127.0.0.1:{server.server_port}/", "It was refused.")
        thread.join()
        address = f"json://127.0.0.1:{server.server_port}/"
    assert Heard.got == ["It was refused."]
    with pytest.raises(UnreachableError, match="does not take messages"):
        post(address, "It was refused.")
    with pytest.raises(ParamsError, match="neither a web address nor"):
        post("pigeon://roof", "It was refused.")


def test_a_drift_alert_without_new_data_asks_somebody_to_look(settings: Settings) -> None:
    plan = read_plan(_store(settings), RUN)
    _finish(settings, plan, blessed=False)
    make_record(RUN, settings)
    make_plan(Request("drifted", trigger="asset_triggered sortline_drift"), settings)
    make_record("drifted", settings)
    assert "no new data to learn from" in notify("drifted", settings)


def test_a_run_that_has_no_record_is_not_reported_as_anything(settings: Settings) -> None:
    with pytest.raises(SortlineError, match="no record"):
        notify("unknown", settings)


def test_variants_of_a_sweep_are_compared_best_first(settings: Settings) -> None:
    store, plan = _store(settings), read_plan(_store(settings), RUN)
    for number, blessed in ((1, False), (2, True)):
        own = replace(plan, run_id=f"sweep-variant-{number}", recipe=f"r{number}")
        store.write(f"runs/{own.run_id}/plan.json", own.__dict__)
        _finish(settings, own, blessed=blessed, until="gate" if blessed else "augment")
    rows = variants("sweep", store)
    assert [(row.recipe, row.accuracy, row.blessed) for row in rows] == [
        ("r2", 0.5, True),
        ("r1", None, None),
    ]
    assert "| sweep-variant-2 | r2 | 0.5000 | 0.2500 | passed |" in variant_table(rows)
