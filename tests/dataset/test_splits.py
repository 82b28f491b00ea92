"""Without these: test scores that are too good, and images that move when the dataset grows."""

import random
from collections import Counter

import pytest

from sortline.core.params import SPLITS, Split
from sortline.dataset.splits import RANKS, Item, Pair, apportion, assign, shares, wanted

SEEDS = range(12)


def digest(number: int) -> str:
    return f"{random.Random(number).getrandbits(256):064x}"


def items_of(sizes: dict[str, int]) -> list[Item]:
    labels = [label for label, size in sizes.items() for _ in range(size)]
    return [Item(digest(number), label) for number, label in enumerate(labels)]


def random_pairs(count: int, seed: int, share: float) -> list[Pair]:
    draw = random.Random(seed)
    pairs = {
        (min(pair), max(pair))
        for pair in (draw.sample(range(count), 2) for _ in range(int(count * share)))
    }
    return sorted(pairs)


def test_a_class_is_divided_to_the_image_and_no_split_stays_empty() -> None:
    for total in range(3, 200):
        parts = wanted(total)
        assert sum(parts.values()) == total
        assert min(parts.values()) >= 1
        for split, share in zip(SPLITS, (0.8, 0.1, 0.1), strict=True):
            assert total < 10 or abs(parts[split] - total * share) < 1


def test_largest_remainders_are_as_worked_out_by_hand() -> None:
    assert apportion(19, {"train": 8, "val": 1, "test": 1}) == {"train": 15, "val": 2, "test": 2}
    assert apportion(15, {"train": 8, "val": 1, "test": 1}) == {"train": 12, "val": 1, "test": 2}
    assert apportion(5, {"train": 0, "val": 0, "test": 0}) == {"train": 0, "val": 0, "test": 0}


@pytest.mark.parametrize("seed", SEEDS)
def test_shares_add_up_whatever_is_there(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(200):
        have: dict[Split, int] = {split: draw.choice([0, 0, 1, 5, 40]) for split in SPLITS}
        new = draw.randrange(60)
        part = shares(have, new)
        assert sum(part.values()) == new
        assert min(part.values()) >= 0


def test_every_class_is_split_80_10_10() -> None:
    items = items_of({"glass": 200, "metal": 50, "trash": 11})
    splits = assign(items, [], seed=0).splits
    by_class = Counter((item.label, split) for item, split in zip(items, splits, strict=True))
    assert [by_class["glass", split] for split in SPLITS] == [160, 20, 20]
    assert [by_class["metal", split] for split in SPLITS] == [40, 5, 5]
    assert [by_class["trash", split] for split in SPLITS] == [9, 1, 1]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_files_does_not_matter_and_the_seed_does(seed: int) -> None:
    items = items_of({"glass": 60, "metal": 40})
    pairs = random_pairs(len(items), seed, 0.2)
    order = list(range(len(items)))
    random.Random(seed).shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    turned = [(min(place[a], place[b]), max(place[a], place[b])) for a, b in pairs]
    straight = assign(items, pairs, seed)
    shuffled = assign([items[old] for old in order], turned, seed)
    assert [straight.splits[old] for old in order] == shuffled.splits
    assert assign(items, pairs, seed + 1).splits != straight.splits


@pytest.mark.parametrize("seed", SEEDS)
def test_like_images_share_a_split_and_none_is_lost(seed: int) -> None:
    items = items_of({"glass": 150, "metal": 90, "trash": 30})
    pairs = random_pairs(len(items), seed, 0.3)
    assignment = assign(items, pairs, seed)
    assert not assignment.left_out
    assert None not in assignment.splits
    assert all(assignment.splits[a] == assignment.splits[b] for a, b in pairs)
    counts = Counter(assignment.splits)
    assert abs(counts["test"] - 27) <= 4
    assert abs(counts["val"] - 27) <= 4


def test_a_group_too_large_for_test_goes_to_train() -> None:
    items = items_of({"glass": 20, "metal": 20})
    splits = assign(items, [(i, i + 1) for i in range(11)], seed=3).splits
    assert set(splits[:12]) == {"train"}
    assert Counter(splits[:20]) == {"train": 16, "val": 2, "test": 2}


@pytest.mark.parametrize("seed", SEEDS)
def test_given_splits_are_kept_and_the_lower_copy_is_left_out(seed: int) -> None:
    draw = random.Random(seed)
    items = [
        Item(digest(n), draw.choice(["glass", "metal"]), draw.choice(SPLITS)) for n in range(120)
    ]
    pairs = random_pairs(len(items), seed, 0.3)
    assignment = assign(items, pairs, seed)
    for index, split in enumerate(assignment.splits):
        if split is None:
            other = assignment.left_out[index]
            own, others = items[index].split, items[other].split
            assert own is not None
            assert others is not None
            assert RANKS[others] > RANKS[own]
            assert assignment.splits[other] is not None
        else:
            assert split == items[index].split
    crossing = [(a, b) for a, b in pairs if items[a].split != items[b].split]
    assert all(None in (assignment.splits[a], assignment.splits[b]) for a, b in crossing)


@pytest.mark.parametrize("seed", SEEDS)
def test_growing_moves_nothing_and_lets_no_group_cross(seed: int) -> None:
    sizes = {"glass": 80, "metal": 60}
    old = items_of(sizes)
    first = assign(old, [], seed).splits
    fixed = [Item(i.sha256, i.label, s, fixed=True) for i, s in zip(old, first, strict=True)]
    new = [Item(digest(1000 + n), ["glass", "metal"][n % 2]) for n in range(100)]
    items = fixed + new
    pairs = [p for p in random_pairs(len(items), seed, 0.3) if p[1] >= len(fixed)]
    assignment = assign(items, pairs, seed)
    assert assignment.splits[: len(fixed)] == first
    for a, b in pairs:
        there = {assignment.splits[a], assignment.splits[b]} - {None}
        assert len(there) <= 1
    for index in assignment.left_out:
        assert index >= len(fixed)


def test_a_new_image_joins_what_it_is_like_directly_or_through_others() -> None:
    fixed = [
        Item(digest(0), "glass", "test", fixed=True),
        Item(digest(1), "glass", "train", fixed=True),
    ]
    new = [Item(digest(2), "glass"), Item(digest(3), "glass"), Item(digest(4), "glass", "train")]
    assignment = assign([*fixed, *new], [(0, 2), (2, 3), (3, 4)], seed=0)
    assert assignment.splits == ["test", "train", "test", "test", "test"]


def test_a_new_image_between_two_splits_is_left_out() -> None:
    fixed = [
        Item(digest(0), "glass", "test", fixed=True),
        Item(digest(1), "glass", "train", fixed=True),
    ]
    direct = assign([*fixed, Item(digest(2), "glass")], [(0, 2), (1, 2)], seed=0)
    assert direct.splits[2] is None
    assert direct.left_out == {2: 0}
    chain = [Item(digest(2), "glass"), Item(digest(3), "glass")]
    through = assign([*fixed, *chain], [(0, 2), (1, 3), (2, 3)], seed=0)
    assert through.splits[2:] == [None, None]


def test_a_dataset_that_grows_one_image_at_a_time_stays_80_10_10() -> None:
    items = [Item(digest(n), "glass") for n in range(10)]
    splits = assign(items, [], seed=0).splits
    fixed = [Item(i.sha256, i.label, s, fixed=True) for i, s in zip(items, splits, strict=True)]
    for number in range(10, 60):
        grown = assign([*fixed, Item(digest(number), "glass")], [], seed=0)
        fixed.append(Item(digest(number), "glass", grown.splits[-1], fixed=True))
    assert Counter(item.split for item in fixed) == {"train": 48, "val": 6, "test": 6}
