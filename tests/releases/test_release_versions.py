"""`sortline releases`: what is there and where it is from; pruning takes nothing that is needed."""

import json
from io import StringIO
from pathlib import Path

import pytest
from helpers.release_parts import Candidates, settings
from rich.console import Console

from sortline.client.model_config import (
    Served,
    parse_config,
    to_text,
    with_served,
)
from sortline.core.errors import RefusedError
from sortline.releases.history import Move, append
from sortline.releases.records import change_state, read_record
from sortline.releases.rollout import Fleet
from sortline.releases.store import CONFIG, Store
from sortline.releases.versions import prune, read_releases, table, warnings

pytest_plugins = ["helpers.release_fixtures"]

ALONE = Fleet((), settings().promote, lambda _: None)


def write_config(store: Store, *versions: int, **labels: int) -> None:
    found = store.read(CONFIG)
    config = with_served(
        parse_config(b"", "x"), "sortline", "/x", Served(frozenset(versions), labels)
    )
    store.write(CONFIG, to_text(config), found.tag if found else None)


def publish_many(store: Store, candidates: Candidates, count: int) -> None:
    for number in range(count):
        candidates.make(f"model {number}")
        candidates.publish(store)


def shown(store: Store, width: int = 200) -> str:
    out = StringIO()
    Console(file=out, width=width).print(table(read_releases(store, ALONE), 0))
    return out.getvalue()


def test_the_table_says_what_one_asks_of_a_version(
    folder_store: Store, candidates: Candidates
) -> None:
    publish_many(folder_store, candidates, 2)
    (candidates.paths.reports / "infra_blessing.json").unlink()
    candidates.make("override")
    (candidates.paths.reports / "infra_blessing.json").unlink()
    candidates.publish(folder_store, override="no server here")
    write_config(folder_store, 1, 2, stable=1, canary=2)
    text = shown(folder_store)
    lines = [line.strip() for line in text.splitlines() if line[1:2].isdigit()]
    assert [line.split()[0] for line in lines] == ["3", "2", "1"]
    assert "overridden: no server here" in lines[0]
    assert lines[1].split()[1] == "canary"
    for word in ("stable", "to be loaded", "90.00%", "1/1 gates, tensorflow_model_server"):
        assert word in lines[2]
    assert "2026-05-04" in lines[2]
    assert "03:02:01" in text


def test_a_terminal_of_80_columns_shows_all_columns(
    folder_store: Store, candidates: Candidates
) -> None:
    publish_many(folder_store, candidates, 1)
    write_config(folder_store, 1, stable=1, canary=1)
    text = shown(folder_store, width=80)
    for word in ("canary", "stable", "90.00%", "1/1", "gates", "2026-05-04", "03:02:01", "who"):
        assert word in text
    assert "…" not in text


def test_json_carries_all_of_it(store: Store, candidates: Candidates) -> None:
    publish_many(store, candidates, 1)
    write_config(store, 1, stable=1)
    value = json.loads(json.dumps(read_releases(store, ALONE).to_json()))
    assert value["store"] == store.address
    (version,) = value["versions"]
    assert (version["version"], version["labels"], version["loaded"]) == (1, ["stable"], True)
    assert version["lineage"]["metrics"]["accuracy"] == 0.9


def test_a_folder_that_is_not_on_record_is_shown_as_such(
    candidates: Candidates, tmp_path: Path
) -> None:
    from helpers.release_parts import LIMITS, fake_model

    from sortline.releases.store import open_store

    fake_model(tmp_path / "store" / "4", "by hand")
    with open_store(str(tmp_path / "store"), LIMITS) as store:
        assert "not on record" in shown(store)


def test_warnings_are_listed(folder_store: Store, candidates: Candidates) -> None:
    candidates.make()
    candidates.bless(server={"kind": "stand-in", "version": "1"})
    candidates.publish(folder_store)
    (line,) = warnings(read_releases(folder_store, ALONE))
    assert line.startswith("version 1: judged by the stand-in alone")


def test_pruning_keeps_the_newest_and_what_is_served(store: Store, candidates: Candidates) -> None:
    publish_many(store, candidates, 6)
    write_config(store, 1, 2, stable=2, canary=2)
    assert prune(store, ALONE, 2) == [3, 4]
    listed = store.list()
    assert listed.published == listed.occupied == {1, 2, 5, 6}
    assert "pruned" not in shown(store)
    assert prune(store, ALONE, 2) == []
    # A number is never used again.
    candidates.make("new")
    assert candidates.publish(store).version == 7


def test_pruning_leaves_what_a_rollback_would_bring_back(
    folder_store: Store, candidates: Candidates
) -> None:
    publish_many(folder_store, candidates, 4)
    append(folder_store, Move(kind="promote", before=1, after=3, at="", by=""))
    write_config(folder_store, 3, stable=3, canary=3)
    assert prune(folder_store, ALONE, 1) == [2]


def test_pruning_that_was_killed_is_finished_by_the_next(
    folder_store: Store, candidates: Candidates
) -> None:
    publish_many(folder_store, candidates, 3)
    found = read_record(folder_store, 1)
    assert found is not None
    change_state(folder_store, *found, "pruned")
    assert 1 not in [each.version for each in read_releases(folder_store, ALONE).versions]
    assert prune(folder_store, ALONE, 1) == [2]
    assert folder_store.list().occupied == {3}


def test_a_version_that_gets_a_label_while_it_is_pruned_stays(
    store: Store, candidates: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_many(store, candidates, 3)
    write, seen = store.write, list[str]()

    def promote_at_the_same_moment(name: str, data: bytes, tag: str | None) -> str:
        written = write(name, data, tag)
        if name.endswith("/1.json") and not seen:
            seen.append(name)
            write_config(store, 1, stable=1)
        return written

    monkeypatch.setattr(store, "write", promote_at_the_same_moment)
    assert prune(store, ALONE, 1) == [2]
    assert store.list().published == {1, 3}
    found = read_record(store, 1)
    assert found is not None
    assert found[0].state == "published"


def test_nothing_is_pruned_where_it_is_not_known_what_is_served(
    folder_store: Store, candidates: Candidates
) -> None:
    publish_many(folder_store, candidates, 2)
    every = 'model_config_list { config { name: "sortline" base_path: "/x"'
    policy = " model_version_policy { all { } } } }"
    folder_store.write(CONFIG, (every + policy).encode(), None)
    with pytest.raises(RefusedError, match="none was pruned"):
        prune(folder_store, ALONE, 1)
    assert folder_store.list().published == {1, 2}


def test_a_pruned_model_can_be_published_again(folder_store: Store, candidates: Candidates) -> None:
    publish_many(folder_store, candidates, 2)
    prune(folder_store, ALONE, 1)
    candidates.make("model 0")
    assert candidates.publish(folder_store).version == 3
