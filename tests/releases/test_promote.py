"""`sortline promote`: every replica serves the new version, or everything is as it was."""

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from helpers.promotion_parts import MODEL, SOAK, Meddler, Releases, reload_with, unload_all
from helpers.served_models import Running

from sortline.client.messages import message
from sortline.client.model_config import Served, parse_config
from sortline.core.errors import BusyError, RefusedError, ReleaseError, ServingError
from sortline.core.files import remove
from sortline.releases.history import read_history
from sortline.releases.promote import STEPS
from sortline.releases.records import change_state, read_record
from sortline.releases.store import CONFIG

pytest_plugins = ["helpers.release_fixtures", "helpers.promotion_fixtures"]


@pytest.fixture
def meddler(targets: list[str]) -> Iterator[Meddler]:
    """Stands before the second replica."""
    with Meddler(targets[1]) as running:
        yield running


@pytest.fixture
def serving(releases: Releases, meddler: Meddler) -> Releases:
    """Version 1 is stable on both replicas; calls to the second can be meddled with."""
    releases.promote(1)
    releases.targets = [releases.targets[0], meddler.target]
    meddler.calls.clear()
    return releases


def check_as_before(releases: Releases, before: bytes) -> None:
    found = releases.store.read(CONFIG)
    assert found is not None
    assert found.data == before, "the config file was not put back"
    assert releases.answers("stable") == [1, 1]
    assert all(states.get(2) != "AVAILABLE" for states in releases.states())


def config_of(releases: Releases) -> bytes:
    found = releases.store.read(CONFIG)
    assert found is not None
    return found.data


def test_the_first_promotion_serves_on_all_replicas(releases: Releases) -> None:
    releases.promote(1)
    assert releases.served() == Served(frozenset({1}), {"canary": 1, "stable": 1})
    assert releases.states() == [{1: "AVAILABLE"}] * 2
    assert releases.answers("stable") == releases.answers("canary") == [1, 1]


def test_the_next_one_moves_the_labels_and_keeps_the_last_one_loaded(releases: Releases) -> None:
    releases.promote(1)
    releases.promote(2)
    assert releases.served() == Served(frozenset({1, 2}), {"canary": 2, "stable": 2})
    assert releases.answers("stable") == [2, 2]
    moves = [(each.kind, each.before, each.after, each.by) for each in read_history(releases.store)]
    assert moves == [("promote", None, 1, "Ada"), ("promote", 1, 2, "Ada")]


def test_no_more_stays_loaded_than_the_settings_say(releases: Releases, models: list[Path]) -> None:
    releases.publish(models[2])
    releases.promote(1)
    releases.promote(2, keep_loaded=0)
    assert releases.served().versions == {2}
    releases.promote(3, keep_loaded=1)
    assert releases.served().versions == {2, 3}
    assert [{v for v, s in each.items() if s == "AVAILABLE"} for each in releases.states()] == [
        {2, 3},
        {2, 3},
    ]


def test_a_newer_version_does_not_stay_loaded_when_an_older_one_is_promoted(
    releases: Releases,
) -> None:
    # A client that names no label gets the newest that is loaded.
    releases.promote(2)
    releases.promote(1)
    assert releases.served().versions == {1}
    assert releases.rollback() == (1, 2)


def test_promoting_a_version_published_by_override_says_so(
    releases: Releases, models: list[Path]
) -> None:
    releases.promote(1, targets=())
    assert not any("without a blessing" in line for line in releases.said)
    releases.candidates.take(models[2])
    version = releases.candidates.publish(releases.store, override="no server here").version
    releases.promote(version, targets=())
    assert any("without a blessing" in s and "no server here" in s for s in releases.said)


def test_clients_of_stable_never_miss_an_answer(releases: Releases, models: list[Path]) -> None:
    releases.promote(1)
    stop, faults, seen = threading.Event(), [], set()

    def ask() -> None:
        while not stop.is_set():
            try:
                seen.update(releases.answers("stable"))
            except Exception as error:
                faults.append(str(error))

    client = threading.Thread(target=ask)
    client.start()
    try:
        releases.promote(2)
        releases.rollback()
    finally:
        stop.set()
        client.join()
    assert faults == []
    assert seen <= {1, 2}


def test_canary_goes_first_and_stable_stays_until_the_soak_is_over(releases: Releases) -> None:
    releases.promote(1)
    seen: dict[str, tuple[list[int], Any]] = {}

    def look(name: str) -> None:
        seen[name] = (releases.answers("stable"), releases.served().labels["canary"])

    releases.promote(2, step=look, **SOAK)
    assert list(seen) == [*STEPS, "unload"]
    assert seen["load"] == seen["canary"] == ([1, 1], 1)
    assert seen["soak"] == seen["stable"] == ([1, 1], 2)
    assert seen["unload"] == ([2, 2], 2)
    assert any("to canary, 0 failed" in line for line in releases.said)


def test_promoting_what_is_stable_brings_a_replica_that_lost_its_way_back(
    releases: Releases, targets: list[str]
) -> None:
    releases.promote(1)
    releases.promote(2)
    unload_all(targets[0])
    releases.promote(2)
    assert releases.answers("stable") == [2, 2]
    assert len(read_history(releases.store)) == 2


def test_what_was_served_without_a_config_file_goes_on_until_the_end(
    releases: Releases, targets: list[str], tmp_path: Path
) -> None:
    text = f'model_config_list {{ config {{ name: "{MODEL}" base_path: "{tmp_path}/store" }} }}'
    (tmp_path / "store" / "2").rename(tmp_path / "store" / ".2")
    for target in targets:
        reload_with(target, parse_config(text.encode(), "x"))
    (tmp_path / "store" / ".2").rename(tmp_path / "store" / "2")
    seen: list[list[dict[int, str]]] = []
    releases.promote(2, step=lambda name: seen.append(releases.states()))
    assert all(states[1] == "AVAILABLE" for each in seen for states in each)
    assert releases.rollback() == (2, 1)


def test_the_base_path_is_what_the_servers_see(releases: Releases, tmp_path: Path) -> None:
    (tmp_path / "mounted").symlink_to(tmp_path / "store")
    releases.promote(1)
    text = config_of(releases).decode()
    assert f'base_path: "{tmp_path}/store"' in text
    written = text.replace(f"{tmp_path}/store", f"{tmp_path}/mounted").encode()
    found = releases.store.read(CONFIG)
    assert found is not None
    releases.store.write(CONFIG, written, found.tag)
    releases.promote(2)
    assert f'base_path: "{tmp_path}/mounted"' in config_of(releases).decode()


def test_other_models_in_the_config_file_stay(releases: Releases, models: list[Path]) -> None:
    other = 'model_config_list { config { name: "other" base_path: "/nowhere" } }'
    releases.store.write(CONFIG, other.encode(), None)
    releases.promote(1, targets=())
    assert b'name: "other"' in config_of(releases)
    assert b'"/nowhere"' in config_of(releases)


def test_without_endpoints_the_file_is_written_for_servers_that_poll(releases: Releases) -> None:
    releases.promote(1, targets=())
    releases.promote(2, targets=())
    assert releases.served() == Served(frozenset({1, 2}), {"canary": 2, "stable": 2})
    assert any("poll" in line for line in releases.said)
    assert releases.rollback(targets=()) == (2, 1)
    # A client that names no label gets the newest that is loaded.
    assert releases.served() == Served(frozenset({1}), {"canary": 1, "stable": 1})


# What is refused before anything moves.


DAMAGES = {
    "missing": "its graph is not in",
    "truncated": r"variables\.data-00000-of-00001 was changed",
    "flipped": r"saved_model\.pb was changed",
    "added": "assets/more is not on record",
    "requests": "tf_serving_warmup_requests was changed",
    "lineage": r"lineage\.json was changed",
    "link": "2 is a link",
    "inner link": r"variables\.index is a link",
    "empty": "its graph is not in",
    "gone": "its graph is not in",
}


def test_a_broken_version_is_refused_and_the_serving_one_goes_on(
    serving: Releases, meddler: Meddler, tmp_path: Path
) -> None:
    before, folder = config_of(serving), tmp_path / "store" / "2"
    shutil.copytree(folder, tmp_path / "whole")
    for damage, said in DAMAGES.items():
        break_version(folder, damage)
        with pytest.raises(RefusedError, match=said):
            serving.promote(2)
        remove(folder)
        shutil.copytree(tmp_path / "whole", folder)
    assert "HandleReloadConfigRequest" not in meddler.calls
    check_as_before(serving, before)


def break_version(folder: Path, damage: str) -> None:
    graph, data = folder / "saved_model.pb", folder / "variables/variables.data-00000-of-00001"
    match damage:
        case "missing":
            graph.unlink()
        case "truncated":
            os.truncate(data, data.stat().st_size // 2)
        case "flipped":
            content = bytearray(graph.read_bytes())
            content[len(content) // 2] ^= 1
            graph.write_bytes(content)
        case "added":
            (folder / "assets").mkdir()
            (folder / "assets" / "more").write_bytes(b"x")
        case "requests":
            (folder / "assets.extra/tf_serving_warmup_requests").write_bytes(b"")
        case "lineage":
            path = folder / "assets.extra/lineage.json"
            path.write_bytes(path.read_bytes() + b" ")
        case "link":
            folder.rename(folder.parents[1] / "elsewhere")
            folder.symlink_to(folder.parents[1] / "elsewhere")
        case "inner link":
            index = folder / "variables/variables.index"
            shutil.move(index, folder.parents[1] / "index")
            index.symlink_to(folder.parents[1] / "index")
        case "empty":
            shutil.rmtree(folder)
            folder.mkdir()
        case "gone":
            shutil.rmtree(folder)


def test_what_was_never_published_is_refused(releases: Releases, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"no version 9 in .* Published versions: 1, 2"):
        releases.promote(9)
    shutil.copytree(tmp_path / "store" / "1", tmp_path / "store" / "7")
    with pytest.raises(RefusedError, match="did not come by `sortline publish`"):
        releases.promote(7)


def test_a_version_that_answers_nonsense_is_put_back(serving: Releases, broken_model: Path) -> None:
    before = config_of(serving)
    version = serving.publish(broken_model)
    with pytest.raises(RefusedError, match=r"probabilities that are no numbers\W.*as it was"):
        serving.promote(version)
    check_as_before(serving, before)


def test_a_version_that_cannot_be_loaded_is_put_back(
    serving: Releases, meddler: Meddler, tmp_path: Path
) -> None:
    before = config_of(serving)

    def break_it(name: str) -> None:
        # After its bytes were looked at.
        (tmp_path / "store/2/variables/variables.index").unlink()

    with pytest.raises(ServingError, match=r"did not become available.*Everything is as it was"):
        serving.promote(2, step=break_it)
    check_as_before(serving, before)


def test_a_version_that_is_pruned_at_the_same_moment_is_not_served(serving: Releases) -> None:
    before = config_of(serving)
    found = read_record(serving.store, 2)
    assert found is not None
    store = serving.store

    def prune(name: str) -> None:
        if name == "load":
            change_state(store, *found, "pruned")

    with pytest.raises(RefusedError, match="was pruned"):
        serving.promote(2, step=prune)
    check_as_before(serving, before)


# Replicas that fail.


@pytest.mark.parametrize(
    "step", [pytest.param(each, marks=[pytest.mark.slow] * (each != "stable")) for each in STEPS]
)
def test_a_replica_that_fails_at_any_step_is_named_and_all_is_put_back(
    serving: Releases, meddler: Meddler, step: str
) -> None:
    before = config_of(serving)
    fault = (grpc.StatusCode.INTERNAL, "the disk is on fire")
    method = "Predict" if step == "soak" else "HandleReloadConfigRequest"

    def fail_once(name: str, request: Any) -> tuple[grpc.StatusCode, str] | None:
        if name != method:
            return None
        if name == "Predict":
            return fault if request.model_spec.version_label == "canary" else None
        meddler.meddle = lambda *_: None
        return fault

    def begin(name: str) -> None:
        meddler.meddle = fail_once if name == step else lambda *_: None

    with pytest.raises((ServingError, RefusedError)) as error:
        serving.promote(2, step=begin, **SOAK)
    assert meddler.target in str(error.value)
    assert "the disk is on fire" in str(error.value)
    assert "Everything is as it was." in str(error.value)
    meddler.meddle = lambda *_: None
    check_as_before(serving, before)


def test_a_refusal_inside_a_reloads_answer_is_one(serving: Releases, meddler: Meddler) -> None:
    before = config_of(serving)
    status = {"error_code": 9, "error_message": "not now"}
    answer = message("tensorflow.serving.ReloadConfigResponse")(status=status)

    def begin(name: str) -> None:
        meddler.meddle = refuse_once if name == "canary" else meddler.meddle

    def refuse_once(method: str, _: Any) -> Any:
        if method != "HandleReloadConfigRequest":
            return None
        meddler.meddle = lambda *_: None
        return answer

    with pytest.raises(ServingError, match=f"{meddler.target}: FAILED_PRECONDITION: not now"):
        serving.promote(2, step=begin)
    check_as_before(serving, before)


def test_a_replica_that_cannot_unload_does_not_undo_the_promotion(
    serving: Releases, meddler: Meddler
) -> None:
    fault = (grpc.StatusCode.INTERNAL, "too busy")

    def begin(name: str) -> None:
        if name == "unload":
            meddler.meddle = lambda method, _: fault if method.startswith("Handle") else None

    serving.promote(2, step=begin, keep_loaded=0)
    assert serving.answers("stable") == [2, 2]
    assert any("older ones may stay loaded" in line for line in serving.said)


def test_a_replica_that_cannot_be_put_back_is_said(serving: Releases, meddler: Meddler) -> None:
    fault = (grpc.StatusCode.UNAVAILABLE, "gone")

    def begin(name: str) -> None:
        if name == "canary":
            meddler.meddle = lambda *_: fault

    with pytest.raises(ServingError, match=f"a replica is not as it was.*{meddler.target}"):
        serving.promote(2, step=begin, deadline_s=2.0)
    meddler.meddle = lambda *_: None
    assert serving.served().stable == 1


def test_a_replica_that_never_loads_ends_at_the_deadline(
    serving: Releases, meddler: Meddler
) -> None:
    before = config_of(serving)

    def begin(name: str) -> None:
        # It says that it has reloaded, and has not.
        meddler.meddle = forget if name == "load" else meddler.meddle

    def forget(method: str, request: Any) -> None:
        if method == "HandleReloadConfigRequest":
            specific = request.config.model_config_list.config[0].model_version_policy.specific
            if 2 in specific.versions:
                specific.versions[:] = [1]

    with pytest.raises(ServingError, match=f"{meddler.target} does not serve version 2.*in time"):
        serving.promote(2, step=begin, deadline_s=2.0)
    check_as_before(serving, before)


def test_a_failure_of_an_earlier_attempt_is_no_answer_to_this_one(
    serving: Releases, meddler: Meddler
) -> None:
    told: list[str] = []

    def remember(method: str, _: Any) -> Any:
        told.append(method)
        # As the real server: the reload answers before the version is looked at again.
        if method != "GetModelStatus" or told[-3:-1] == ["GetModelStatus"] * 2:
            return None
        status = {"error_code": 5, "error_message": "yesterday's"}
        versions = [{"version": 1, "state": 30}, {"version": 2, "state": 50, "status": status}]
        return message("tensorflow.serving.GetModelStatusResponse")(model_version_status=versions)

    def begin(name: str) -> None:
        meddler.meddle = remember if name == "load" else lambda *_: None

    serving.promote(2, step=begin)
    assert serving.answers("stable") == [2, 2]


def test_replicas_that_answer_differently_are_not_promoted(
    serving: Releases, models: list[Path], standins: list[Running], tmp_path: Path
) -> None:
    # The second one reads another store.
    before = config_of(serving)
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "store", other)
    shutil.rmtree(other / "2")
    shutil.copytree(models[2], other / "2")

    with Meddler(standins[1].at.grpc) as elsewhere:

        def redirect(method: str, request: Any) -> None:
            if method == "HandleReloadConfigRequest":
                request.config.model_config_list.config[0].base_path = str(other)

        elsewhere.meddle = redirect
        with pytest.raises(RefusedError, match="answer a golden request differently"):
            serving.promote(2, targets=[serving.targets[0], elsewhere.target])
    check_as_before(serving, before)


# Others who promote.


def test_of_two_promoters_the_first_never_overwrites_what_the_second_wrote(
    serving: Releases,
) -> None:
    def somebody_else(name: str) -> None:
        if name == "stable":
            found = serving.store.read(CONFIG)
            assert found is not None
            serving.store.write(CONFIG, found.data + b"# theirs\n", found.tag)

    with pytest.raises(BusyError, match="changed by somebody else"):
        serving.promote(2, step=somebody_else)
    assert config_of(serving).endswith(b"# theirs\n")
    assert serving.served().stable == 1


def test_a_config_file_that_is_none_is_not_overwritten(releases: Releases) -> None:
    releases.store.write(CONFIG, b"hello", None)
    with pytest.raises(ReleaseError, match="not the text of a ModelServerConfig"):
        releases.promote(1)
    assert config_of(releases) == b"hello"


def test_prometheus_pages_are_watched(releases: Releases, standins: list[Running]) -> None:
    releases.promote(1)
    pages = [f"http://{each.at.rest}/metrics" for each in standins]
    releases.promote(2, pages=pages, **SOAK)
    assert releases.served().stable == 2
    with pytest.raises(ServingError, match=r"/nowhere: .*--monitoring_config_file"):
        releases.promote(1, pages=[f"http://{standins[0].at.rest}/nowhere"], **SOAK)
    assert releases.served().stable == 2
