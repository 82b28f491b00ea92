"""`sortline rollback`: one command, and clients of `stable` have the version before."""

from pathlib import Path

import pytest
from helpers.promotion_parts import Releases

from sortline.client.model_config import Served
from sortline.core.errors import RefusedError, ServingError
from sortline.releases.history import Move, read_history, stables
from sortline.releases.records import change_state, read_record
from sortline.releases.store import CONFIG

pytest_plugins = ["helpers.release_fixtures", "helpers.promotion_fixtures"]


def move(before: int | None, after: int) -> Move:
    return Move(kind="promote", before=before, after=after, at="", by="")


def back(before: int, after: int) -> Move:
    return Move(kind="rollback", before=before, after=after, at="", by="")


@pytest.mark.parametrize(
    ("moves", "now", "expected"),
    [
        ([move(None, 1)], 1, [1]),
        ([move(None, 1), move(1, 2)], 2, [1, 2]),
        ([move(None, 1), move(1, 2), move(2, 3), back(3, 2)], 2, [1, 2]),
        ([move(None, 1), move(1, 2), move(2, 3), back(3, 2), back(2, 1)], 1, [1]),
        ([move(None, 1), move(1, 2), back(2, 1), move(1, 3)], 3, [1, 3]),
        ([move(None, 1), move(1, 2), move(2, 1)], 1, [1, 2, 1]),
        # A promotion that was written down, and killed before the label moved.
        ([move(None, 1), move(1, 2)], 1, [1]),
        ([move(None, 1), move(1, 2), move(1, 3)], 3, [1, 3]),
        # A rollback that was killed before it was written down.
        ([move(None, 1), move(1, 2), move(2, 3)], 2, [1, 2]),
        # What somebody did by hand.
        ([move(None, 1), move(7, 8)], 8, [7, 8]),
        ([move(None, 1)], 5, [5]),
        ([], 5, [5]),
    ],
)
def test_history_tells_what_was_stable_before(
    moves: list[Move], now: int, expected: list[int]
) -> None:
    assert stables(moves, now) == expected


def test_a_rollback_takes_one_reload_and_the_newer_version_is_gone(releases: Releases) -> None:
    releases.promote(1)
    releases.promote(2)
    assert releases.rollback() == (2, 1)
    assert releases.answers("stable") == releases.answers("canary") == [1, 1]
    # A client that names no label gets the newest that is loaded.
    assert releases.served() == Served(frozenset({1}), {"canary": 1, "stable": 1})
    last = read_history(releases.store)[-1]
    assert (last.kind, last.before, last.after, last.by) == ("rollback", 2, 1, "Grace")


def test_a_version_that_is_not_loaded_any_more_is_loaded_first(releases: Releases) -> None:
    releases.promote(1)
    releases.promote(2, keep_loaded=0)
    assert releases.rollback() == (2, 1)
    assert releases.answers("stable") == [1, 1]


@pytest.mark.slow
def test_rollbacks_go_back_one_by_one_and_end(releases: Releases, models: list[Path]) -> None:
    releases.publish(models[2])
    for version in (1, 2, 3):
        releases.promote(version)
    assert releases.rollback() == (3, 2)
    assert releases.rollback() == (2, 1)
    with pytest.raises(RefusedError, match="no version is on record as stable before version 1"):
        releases.rollback()
    assert releases.answers("stable") == [1, 1]


def test_nothing_to_go_back_from_is_said(releases: Releases) -> None:
    with pytest.raises(RefusedError, match="no version is stable"):
        releases.rollback()


def test_a_damaged_version_before_is_refused_and_nothing_moves(
    releases: Releases, tmp_path: Path
) -> None:
    releases.promote(1)
    releases.promote(2, keep_loaded=0)
    (tmp_path / "store/1/variables/variables.index").write_bytes(b"other")
    with pytest.raises(RefusedError, match=r"variables\.index was changed"):
        releases.rollback()
    assert releases.answers("stable") == [2, 2]


def test_a_version_before_that_was_pruned_is_refused(releases: Releases) -> None:
    releases.promote(1)
    releases.promote(2)
    found = read_record(releases.store, 1)
    assert found is not None
    change_state(releases.store, *found, "pruned")
    with pytest.raises(RefusedError, match="Version 1 was pruned"):
        releases.rollback()
    assert releases.answers("stable") == [2, 2]


def test_a_replica_that_is_away_is_named_before_anything_changes(releases: Releases) -> None:
    releases.promote(1)
    releases.promote(2)
    before = releases.store.read(CONFIG)
    with pytest.raises(ServingError, match=r"127\.0\.0\.1:1\b.*Nothing has changed"):
        releases.rollback(targets=[*releases.targets, "127.0.0.1:1"])
    assert releases.store.read(CONFIG) == before
    assert releases.answers("stable") == [2, 2]
