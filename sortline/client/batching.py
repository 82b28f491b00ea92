"""Items in groups that fit: into a message, into memory."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def batched(
    items: Iterable[T], size_of: Callable[[T], int], *, max_size: int, max_items: int
) -> Iterator[list[T]]:
    """Consecutive items, as many at a time as fit; one that is too large comes alone.

    Args:
        items: taken as they are needed, at most one of them ahead of the batch.
        size_of: an item's share of `max_size`.
        max_size: of a batch.
        max_items: of a batch.
    """
    batch: list[T] = []
    size = 0
    for item in items:
        its_size = size_of(item)
        if batch and size + its_size > max_size:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += its_size
        if len(batch) == max_items:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
