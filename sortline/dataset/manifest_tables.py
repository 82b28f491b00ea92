"""What Great Expectations is shown: the manifest as tables, with what it cannot compute as columns.

Four tables: a row an image, a row a split and class, a row a split, a row a class. `path` is in all
of them: the file or the folder that a failing row is about.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sortline.core.params import SPLITS
from sortline.dataset.duplicates import components, near_pairs
from sortline.dataset.manifest import labels_of
from sortline.dataset.settings import Validate

Tables = Mapping[str, pd.DataFrame]


def build_tables(
    frame: pd.DataFrame, settings: Validate, champion_counts: Mapping[str, int] | None
) -> Tables:
    """Tables by name: images, folders, and where they can be had splits and classes.

    Args:
        frame: the manifest.
        settings: `validate` of params.yaml.
        champion_counts: training images a class of the last accepted model; None: there is none.
    """
    tables = {
        "images": image_table(frame, settings.near_duplicate_bits),
        "folders": folder_table(frame),
    }
    if settings.expected_counts is not None:
        tables["splits"] = split_table(frame, settings.expected_counts.model_dump())
    if champion_counts is not None:
        tables["classes"] = drift_table(frame, champion_counts)
    return tables


def image_table(frame: pd.DataFrame, bits: int) -> pd.DataFrame:
    """The manifest, and for each image a path to what it equals or is like (None: to nothing)."""
    contents = pd.factorize(frame["sha256"])[0].tolist()
    codes, hashes = pd.factorize(frame["perceptual_hash"])
    looks = codes.tolist()
    # Equal hashes are one look: a thousand copies of one picture are not half a million pairs.
    alike = near_pairs(list(hashes), bits)
    sides = frame[["width", "height"]]
    columns = {
        "same_in_other_split": _partners(frame, contents, [], "split"),
        "like_in_other_split": _partners(frame, looks, alike, "split"),
        "same_in_other_class": _partners(frame, contents, [], "label"),
        "duplicate_of": _earlier(frame, looks, alike),
    }
    return frame.assign(
        short_side_px=sides.min(axis=1),
        long_side_px=sides.max(axis=1),
        log_sharpness=np.log1p(frame["sharpness"]),
        **{name: pd.Series(values, frame.index, dtype=object) for name, values in columns.items()},
    )


def folder_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Images a split and class."""
    counts = Counter(zip(frame["split"], frame["label"], strict=True))
    rows = [
        (f"data/{split}/{label}", split, label, counts[split, label])
        for split in SPLITS
        for label in labels_of(frame)
    ]
    return pd.DataFrame(rows, columns=["path", "split", "label", "images"])


def split_table(frame: pd.DataFrame, expected: Mapping[str, int]) -> pd.DataFrame:
    """Images a split, and how many are pinned."""
    counts = Counter(frame["split"])
    rows = [(f"data/{split}", counts[split], expected[split]) for split in SPLITS]
    return pd.DataFrame(rows, columns=["path", "images", "expected_images"])


def drift_table(frame: pd.DataFrame, champion: Mapping[str, int]) -> pd.DataFrame:
    """Shares of the training images a class, here and in the champion's data."""
    own = Counter(frame.loc[frame["split"] == "train", "label"])
    own_total, champion_total = sum(own.values()), sum(champion.values())
    rows = [
        (f"data/train/{label}", own[label] / own_total, champion.get(label, 0) / champion_total)
        for label in sorted({*own, *champion})
    ]
    table = pd.DataFrame(rows, columns=["path", "share", "champion_share"])
    return table.assign(drift=(table["share"] - table["champion_share"]).abs())


def _partners(
    frame: pd.DataFrame, keys: Sequence[int], pairs: Sequence[tuple[int, int]], column: str
) -> list[str | None]:
    """For each row the path of one whose key is its own or paired with it, and `column` is not."""
    near: dict[int, list[int]] = defaultdict(list)
    for left, right in pairs:
        near[left].append(right)
        near[right].append(left)
    values = frame[column].tolist()
    first: dict[int, dict[str, str]] = defaultdict(dict)
    for key, value, path in zip(keys, values, frame["path"], strict=True):
        first[key].setdefault(value, path)
    return [
        next(
            (
                path
                for other in (key, *near[key])
                for its_value, path in first[other].items()
                if its_value != value
            ),
            None,
        )
        for key, value in zip(keys, values, strict=True)
    ]


def _earlier(
    frame: pd.DataFrame, keys: Sequence[int], pairs: Sequence[tuple[int, int]]
) -> list[str | None]:
    """For each row the first path of its group of like images, None for that one itself."""
    group = components(max(keys) + 1, pairs)
    first: dict[int, str] = {}
    leaders = [
        first.setdefault(group[key], path) for key, path in zip(keys, frame["path"], strict=True)
    ]
    return [
        None if leader == path else leader
        for leader, path in zip(leaders, frame["path"], strict=True)
    ]
