"""Which image goes into which split: 80/10/10 in every class, and never two alike in two splits.

Depends on the images' contents and the seed alone, not on names or on the order of files. Images
that are in the dataset already stay where they are; new ones join the split of what they are like,
and the rest brings each class as near to 80/10/10 as it can come.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sortline.core.params import SPLITS, Split
from sortline.dataset.duplicates import components

WEIGHTS: Mapping[Split, int] = {"train": 8, "val": 1, "test": 1}
RANKS: Mapping[Split, int] = {"train": 0, "val": 1, "test": 2}
"""Of two alike in two splits, the one in the split of higher rank stays."""

Pair = tuple[int, int]
Counts = dict[Split, int]


@dataclass(frozen=True)
class Item:
    """An image to be placed.

    Attributes:
        sha256: of its bytes; no two items share it.
        label: its class.
        split: where it is, or where its source says it belongs; None: to be decided.
        fixed: it is in the dataset already, and stays in `split`.
    """

    sha256: str
    label: str
    split: Split | None = None
    fixed: bool = False


@dataclass(frozen=True)
class Assignment:
    """Where the items go.

    Attributes:
        splits: of each item; None: left out.
        left_out: for each item left out, the item of another split that it is like.
    """

    splits: list[Split | None]
    left_out: dict[int, int]


def apportion(total: int, weights: Mapping[Split, int]) -> Counts:
    """Divide `total` by the method of largest remainders; ties go to test, then val."""
    whole = sum(weights.values())
    if not whole:
        return dict.fromkeys(SPLITS, 0)
    parts = {split: total * weights[split] // whole for split in SPLITS}
    order = sorted(SPLITS, key=lambda split: (-(total * weights[split] % whole), -RANKS[split]))
    for split in order[: total - sum(parts.values())]:
        parts[split] += 1
    return parts


def wanted(total: int) -> Counts:
    """80/10/10 of `total` images of a class; one in each split as soon as there are three."""
    parts = apportion(total, WEIGHTS)
    for split in ("test", "val"):
        if not parts[split] and parts["train"] > 1:
            parts["train"] -= 1
            parts[split] += 1
    return parts


def shares(have: Mapping[Split, int], new: int) -> Counts:
    """How many of `new` images each split gets, so that the whole comes closest to `wanted`."""
    goal = wanted(sum(have.values()) + new)
    missing = {split: max(0, goal[split] - have[split]) for split in SPLITS}
    if sum(missing.values()) == new:
        return missing
    # Some split has more than its share already: first no split is empty, then in proportion.
    first: Counts = dict.fromkeys(SPLITS, 0)
    for split in ("test", "val", "train"):
        if not have[split] and missing[split] and sum(first.values()) < new:
            first[split] = 1
    rest = {split: missing[split] - first[split] for split in SPLITS}
    more = apportion(new - sum(first.values()), rest)
    return {split: first[split] + more[split] for split in SPLITS}


def assign(items: Sequence[Item], pairs: Sequence[Pair], seed: int) -> Assignment:
    """Place every item.

    Args:
        items: those in the dataset and the new ones.
        pairs: indices of items that are near duplicates.
        seed: of every choice.
    """
    neighbours: dict[int, list[int]] = defaultdict(list)
    for left, right in pairs:
        neighbours[left].append(right)
        neighbours[right].append(left)
    left_out = _crossing(items, neighbours)
    splits: list[Split | None] = [item.split if item.fixed else None for item in items]
    free = []
    for group in _new_groups(items, pairs, left_out):
        touched = {near for one in group for near in neighbours[one] if items[near].fixed}
        homes = {split for near in touched if (split := items[near].split)}
        given = {split for one in group if (split := items[one].split)}
        if len(homes) > 1:
            like = max(touched, key=lambda near: (_rank(items, near), items[near].sha256))
            left_out |= dict.fromkeys(group, like)
        elif homes or given:
            for index in group:
                splits[index] = next(iter(homes or given))
        else:
            free.append(group)
    _fill(items, splits, free, seed)
    return Assignment(splits, left_out)


def _rank(items: Sequence[Item], index: int) -> int:
    split = items[index].split
    return -1 if split is None else RANKS[split]


def _crossing(items: Sequence[Item], neighbours: Mapping[int, list[int]]) -> dict[int, int]:
    """New items that are like one in another split, whatever is done: they are left out."""
    left_out: dict[int, int] = {}
    new = [index for index in neighbours if not items[index].fixed]
    # From the highest rank down: what is left out no longer counts against what lies below it.
    for index in sorted(new, key=lambda index: (-_rank(items, index), items[index].sha256)):
        near = [other for other in neighbours[index] if other not in left_out]
        fixed = {items[other].split for other in near if items[other].fixed}
        higher = [other for other in near if _rank(items, other) > _rank(items, index)]
        if len(fixed) > 1 or (items[index].split and not fixed and higher):
            left_out[index] = max(near, key=lambda other: _rank(items, other))
    return left_out


def _new_groups(
    items: Sequence[Item], pairs: Iterable[Pair], left_out: Mapping[int, int]
) -> list[list[int]]:
    def is_in(index: int) -> bool:
        return not items[index].fixed and index not in left_out

    inner = [(left, right) for left, right in pairs if is_in(left) and is_in(right)]
    groups: dict[int, list[int]] = defaultdict(list)
    for index, first in enumerate(components(len(items), inner)):
        if is_in(index):
            groups[first].append(index)
    return list(groups.values())


def _fill(
    items: Sequence[Item], splits: list[Split | None], free: Iterable[list[int]], seed: int
) -> None:
    """Place groups of like images first, while there is room for them, then each class's rest."""
    have: dict[str, Counts] = defaultdict(lambda: dict.fromkeys(SPLITS, 0))
    for item, split in zip(items, splits, strict=True):
        if split is not None:
            have[item.label][split] += 1
    keyed = []
    for group in free:
        first = min(items[index].sha256 for index in group)
        keyed.append((hashlib.sha256(f"{seed}:{first}".encode()).hexdigest(), group))
    keyed.sort()
    counts = Counter(items[index].label for _, group in keyed for index in group)
    room = {label: shares(have[label], count) for label, count in counts.items()}
    for key, group in sorted(keyed, key=lambda keyed_group: -len(keyed_group[1])):
        if len(group) > 1:
            split = _roomy_split(Counter(items[index].label for index in group), room, key)
            for index in group:
                splits[index] = split
                have[items[index].label][split] += 1
    singles: dict[str, list[int]] = defaultdict(list)
    for _, group in keyed:
        if len(group) == 1:
            singles[items[group[0]].label].append(group[0])
    for label, own in singles.items():
        part = shares(have[label], len(own))
        order = [split for split in SPLITS for _ in range(part[split])]
        for index, split in zip(own, order, strict=True):
            splits[index] = split


def _roomy_split(group: Mapping[str, int], room: Mapping[str, Counts], key: str) -> Split:
    """A split that has room for the whole group, drawn by how much; train when none has."""
    sizes = {
        split: sum(room[label][split] for label in group)
        for split in SPLITS
        if all(room[label][split] >= count for label, count in group.items())
    }
    chosen: Split = "train"
    ticket = int(key[:15], 16) % max(1, sum(sizes.values()))
    for split, size in sizes.items():
        if 0 <= ticket < size:
            chosen = split
        ticket -= size
    for label, count in group.items():
        room[label][chosen] -= count
    return chosen
