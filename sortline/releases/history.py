"""Which versions were `stable`, in which order: what a rollback goes by.

A promotion is written down before the label moves, a rollback after: whenever a command is killed,
the entries and the config file together still tell which version was stable before.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from sortline.core.errors import BusyError, ReleaseError
from sortline.releases.store import RECORDS, Store

HISTORY = f"{RECORDS}/history.json"
_ATTEMPTS = 5


class Move(BaseModel):
    """The label `stable` moves, or was about to.

    Attributes:
        kind: what moves it.
        before: version that had it; None: none.
        after: version that gets it.
        at: in UTC, ISO 8601.
        by: who.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["promote", "rollback"]
    before: int | None
    after: int
    at: str
    by: str


_MOVES = TypeAdapter(list[Move])


def _read(store: Store) -> tuple[list[Move], str | None]:
    file = store.read(HISTORY)
    if file is None:
        return [], None
    try:
        return _MOVES.validate_json(file.data), file.tag
    except ValidationError as error:
        raise ReleaseError(
            f"{store.address}/{HISTORY} is damaged: {error.errors()[0]['msg']}. Restore it, or"
            " remove it: `sortline rollback` then knows nothing of earlier promotions."
        ) from error


def read_history(store: Store) -> list[Move]:
    """All moves, oldest first.

    Raises:
        ReleaseError: the file is damaged.
    """
    return _read(store)[0]


def append(store: Store, move: Move) -> None:
    """Write a move down after the others.

    Raises:
        BusyError: others write all the time.
        ReleaseError: the file is damaged, or the store fails.
    """
    for attempt in range(_ATTEMPTS):
        moves, tag = _read(store)
        data = _MOVES.dump_json([*moves, move], indent=2) + b"\n"
        try:
            store.write(HISTORY, data, tag)
        except BusyError:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return


def _cut_back(stack: list[int], to: int) -> list[int]:
    """All up to the last `to`; that alone when it is not there."""
    for at in reversed(range(len(stack))):
        if stack[at] == to:
            return stack[: at + 1]
    return [to]


def stables(moves: Sequence[Move], now: int) -> list[int]:
    """The versions that a series of rollbacks would make stable, last first in line at the end.

    Args:
        moves: oldest first.
        now: the version that is stable: the last of the result.
    """
    stack: list[int] = []
    for move in moves:
        if move.kind == "rollback":
            stack = _cut_back(stack, move.after)
        else:
            # A promotion that was written down and then killed is not what this one began with.
            stack = _cut_back(stack, move.before) if move.before is not None else []
            stack.append(move.after)
    return _cut_back(stack, now)
