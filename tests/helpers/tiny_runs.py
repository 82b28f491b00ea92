"""A handful of drawn images, and the steps of the graph run on them inside the test's process."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from helpers.params import Params, parse_params
from pipeline_steps import (
    evaluate,
    export,
    fine_tune_phase2,
    gate,
    train_phase1,
    validate,
    warm_start,
)
from sortline.core.files import sha256_file, write_json
from sortline.core.params import overlay, read_yaml
from sortline.core.paths import Paths
from sortline.images.view_plan import plan_views, write_plan

ROOT = Path(__file__).parents[2]
QUICK: dict[str, Any] = {
    "validate": {
        "min_images_per_class": 1,
        "min_side_px": 8,
        "severity": dict.fromkeys(("near_duplicates", "brightness", "sharpness"), "warning"),
    },
    "augment": {"preview_images": 1},
    "backbone": {"weights": None},
    "features": {"batch_size": 8},
    "export": {"parity_images": 4},
    "evaluate": {"bootstrap_samples": 100, "worst_mistakes": 1, "latency_calls": 5},
}
_COUNTS = {"train": 5, "val": 3, "test": 3}


def settings(*changes: dict[str, Any]) -> Params:
    """params.yaml with quick settings and some changes, in this order."""
    values = overlay(read_yaml(ROOT / "params.yaml"), QUICK)
    for each in changes:
        values = overlay(values, each)
    return parse_params(values)


def draw(root: Path, classes: int, *, grey: bool, side_px: int = 24) -> Paths:
    """Images of `classes` classes, each of one brightness (and hue) with noise, as PNG."""
    rng = np.random.default_rng(0)
    shape = (side_px, side_px) if grey else (side_px, side_px, 3)
    for split, count in _COUNTS.items():
        for label in range(classes):
            tone = 255 * (label + 0.5) / classes
            for index in range(count):
                path = root / "data" / split / f"class{label}" / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = rng.normal(tone, 20, shape).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(path)
    paths = Paths(root)
    write_json(paths.champion / "none.json", {"champion": None})
    return paths


def list_images(paths: Paths) -> None:
    """The manifest's columns that training reads, and no views: instead of the first two steps."""
    files = sorted((paths.root / "data").glob("*/*/*.png"))
    rows = [(f.relative_to(paths.root).as_posix(), *f.parts[-3:-1], sha256_file(f)) for f in files]
    manifest = pd.DataFrame(rows, columns=["path", "split", "label", "sha256"])
    with Image.open(files[0]) as image:
        manifest = manifest.assign(mode=image.mode, core=False)
    paths.manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.to_parquet(paths.manifest, index=False)
    params = settings()
    plan = plan_views(manifest[manifest["split"] == "train"], params.augment, params.seed)
    write_plan(plan, paths.views)


def start_over(paths: Paths) -> None:
    """Remove what steps after `validate` have left."""
    for each in (paths.start, paths.phase1, paths.phase2, paths.saved_model, paths.litert):
        shutil.rmtree(each, ignore_errors=True)
    shutil.rmtree(paths.state, ignore_errors=True)


def train(params: Params, paths: Paths) -> None:
    """The steps that train."""
    for step in (warm_start, train_phase1, fine_tune_phase2):
        step.run(params, paths)


def finish(params: Params, paths: Paths) -> None:
    """The steps after training."""
    for step in (export, evaluate, gate):
        step.run(params, paths)


def check(params: Params, paths: Paths) -> None:
    """The first step, which every recipe has in common."""
    validate.run(params, paths)


def phases(*entries: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """Phases of one epoch each, without what would stop them early."""
    still = {"epochs": 1, "early_stopping_patience": None, "plateau_patience": None}
    return [{**still, **each} for each in entries]
