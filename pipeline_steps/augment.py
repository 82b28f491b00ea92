"""Draw the plan of views: which augmented views of which training images there are. No pixels.

Reads artifacts/manifest.parquet, and a few images of data/ for the preview.
Writes artifacts/views.parquet, one row a view of a training image (the plain image is not a row),
and reports/augment/preview.png, originals beside their views.
Refuses a manifest that is missing or has no training images.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sortline.core.entry import step_main
from sortline.core.errors import DataError
from sortline.core.files import require
from sortline.core.params import Sections, Seed
from sortline.core.paths import Paths
from sortline.images.decode import decode_file
from sortline.images.settings import Images
from sortline.images.view_plan import plan_views, write_plan
from sortline.images.view_settings import Augment
from sortline.images.views import apply_view, plain_vector, view_vectors
from sortline.reporting import drawing

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
