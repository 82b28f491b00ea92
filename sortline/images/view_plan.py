"""The plan of views: which augmented views of which training images there are. No pixels.

What is drawn for a view depends on the seed, the image's bytes and the view's number alone: images
that are added later leave the views of all others as they were.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sortline.core.files import atomic_file
from sortline.images.augmentations import columns as added_columns
from sortline.images.draws import view_seed
from sortline.images.view_settings import Augment
from sortline.images.views import FIELDS, draw

SCHEMA = pa.schema(
    [
        *(("sha256", pa.string()), ("label", pa.string())),
        *(("view", pa.int32()), ("seed", pa.int64())),
        *((field, pa.float32()) for field in FIELDS),
    ]
)
"""Registered augmentations that are on add their columns, float32, after these."""

# Balance stops here: an image of a rare class is seen at most this many times as often as one of
# the largest class. Beyond it the class is learnt by heart, and the plan grows without need.
MAX_BOOST = 4


def views_per_image(class_sizes: dict[str, int], settings: Augment) -> dict[str, int]:
    """How many views each image of a class gets.

    With `balance`, originals and views of a class together come as near as whole numbers allow to
    those of the largest class, at most `MAX_BOOST` times as many an image.
    """
    if not settings.views or not settings.balance:
        return dict.fromkeys(class_sizes, settings.views)
    per_image = settings.views + 1
    largest = max(class_sizes.values()) * per_image
    return {
        label: min(round(largest / size), MAX_BOOST * per_image) - 1
        for label, size in class_sizes.items()
    }


def plan_views(train: pd.DataFrame, settings: Augment, seed: int) -> pa.Table:
    """The plan for training images (columns sha256, label), as a table of `SCHEMA`.

    Rows are sorted by image and view; the same picture twice gets one set of views.
    """
    images = train.drop_duplicates("sha256").sort_values("sha256")
    sizes = {str(label): int(size) for label, size in images["label"].value_counts().items()}
    counts = views_per_image(sizes, settings)
    keys = [
        (str(sha256), str(label), view)
        for sha256, label in zip(images["sha256"], images["label"], strict=True)
        for view in range(1, counts[str(label)] + 1)
    ]
    seeds = np.array([view_seed(seed, sha256, view) for sha256, _, view in keys], dtype=np.int64)
    columns = {
        "sha256": [key[0] for key in keys],
        "label": [key[1] for key in keys],
        "view": [key[2] for key in keys],
        "seed": seeds,
        **{name: values.astype(np.float32) for name, values in draw(seeds, settings).items()},
    }
    schema = SCHEMA
    for name in added_columns(list(settings.added)):
        schema = schema.append(pa.field(name, pa.float32()))
    return pa.table(columns, schema=schema)


def write_plan(plan: pa.Table, target: Path) -> None:
    """Write the plan; equal plans give equal bytes."""
    with atomic_file(target) as partial:
        pq.write_table(plan, partial, compression="zstd")
