"""Draw the plan of views: which augmented views of which training images there are. No pixels.

Reads artifacts/manifest.parquet, and a few images of data/ for the preview.
Writes artifacts/views.parquet, one row a view of a training image (the plain image is not a row),
and reports/augment/preview.png, originals beside their views.
Refuses a manifest that is missing or has no training images.

What is drawn for a view depends on the seed, the image's bytes and the view's number alone: images
that are added later leave the views of all others as they were.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sortline.core.entry import step_main
from sortline.core.errors import DataError
from sortline.core.files import atomic_file, require
from sortline.core.params import Sections, Seed
from sortline.core.paths import Paths
from sortline.images.augmentations import columns as added_columns
from sortline.images.decode import decode_file
from sortline.images.draws import view_seed
from sortline.images.settings import Images
from sortline.images.view_settings import Augment
from sortline.images.views import FIELDS, apply_view, draw, plain_vector, view_vectors
from sortline.reporting import drawing

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

_PREVIEW_PX = 160
_PREVIEW_VIEWS = 6


class Params(Sections):
    """The sections of params.yaml that this step reads."""

    seed: Seed
    images: Images
    augment: Augment


@dataclass(frozen=True)
class AugmentResult:
    """What was planned."""

    images: int
    views: int
    views_per_image: dict[str, int]
    preview: Path


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


def preview_images(train: pd.DataFrame, count: int) -> pd.DataFrame:
    """Which images are shown: one of each class in turn, always the same ones."""
    ordered = train.drop_duplicates("sha256").sort_values(["label", "sha256"])
    turn = ordered.groupby("label").cumcount()
    chosen = ordered.assign(turn=turn).sort_values(["turn", "label"], kind="stable").head(count)
    return chosen.sort_values(["label", "sha256"]).drop(columns="turn")


def draw_preview(
    chosen: pd.DataFrame, plan: pd.DataFrame, params: Params, paths: Paths, target: Path
) -> None:
    """Draw the preview sheet: a line an image, or the originals alone when there are no views."""
    rows, added = [], tuple(params.augment.added)
    for path, label, sha256 in zip(chosen["path"], chosen["label"], chosen["sha256"], strict=True):
        image = decode_file(paths.root / str(path), max_pixels=params.images.max_pixels)
        drawn = plan[plan["sha256"] == sha256].head(_PREVIEW_VIEWS)
        vectors = [plain_vector(added), *view_vectors(drawn, added)]
        views = [apply_view(image, vector, _PREVIEW_PX, added).numpy() for vector in vectors]
        rows.append((str(label), [np.rint(view).astype(np.uint8) for view in views]))
    if plan.empty:
        title = "No views (augment.views is 0): training sees these pictures as they are"
        drawing.originals([(label, views[0]) for label, views in rows], title, target)
    else:
        drawing.views(rows, f"Originals and views: {len(plan):,} views planned", target)


def write_plan(plan: pa.Table, target: Path) -> None:
    """Write the plan; equal plans give equal bytes."""
    with atomic_file(target) as partial:
        pq.write_table(plan, partial, compression="zstd")


def run(params: Params, paths: Paths) -> AugmentResult:
    """Plan the views of every training image.

    Raises:
        ArtifactError: the manifest is missing.
        DataError: it has no training images.
    """
    manifest = require(paths.manifest, "dvc repro validate")
    train = pd.read_parquet(manifest, columns=["path", "split", "label", "sha256"])
    train = train[train["split"] == "train"]
    if train.empty:
        raise DataError(
            f"{manifest} has no images of the split train, and views are drawn of those. "
            "Put images into data/train/<class>/, then run `dvc repro`."
        )
    plan = plan_views(train, params.augment, params.seed)
    frame = plan.to_pandas()
    preview = paths.reports / "augment" / "preview.png"
    chosen = preview_images(train, params.augment.preview_images)
    draw_preview(chosen, frame, params, paths, preview)
    write_plan(plan, paths.views)
    result = AugmentResult(
        images=len(train),
        views=len(frame),
        views_per_image={
            str(label): int(views) for label, views in frame.groupby("label")["view"].max().items()
        },
        preview=preview,
    )
    shown = preview.relative_to(paths.root)
    print(f"augment: {result.views:,} views of {result.images:,} images; see {shown}")
    return result


def main() -> None:
    """Run the step in the current folder."""
    step_main("augment", Params, run)


if __name__ == "__main__":
    main()
