"""The pictures of reports/evaluation, from the rows of predictions.parquet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sortline.core.params import Params
from sortline.images.decode import decode_file
from sortline.reporting import figures

INVALID = "(invalid)"  # stands where a label would: the model could not read the image
_THUMBNAIL_PX = 320


def confusion_table(rows: pd.DataFrame, labels: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Counts [K, K] of true by predicted class; `INVALID` is one more class when it occurs."""
    names = [*labels, INVALID] if (rows["predicted"] == INVALID).any() else list(labels)
    ids = {name: index for index, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (rows["label"].map(ids).to_numpy(), rows["predicted"].map(ids).to_numpy()), 1)
    return counts, names


def worst_mistakes(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """The wrong answers given with the most confidence, at most `count`, the surest first."""
    wrong = rows[rows["valid"] & ~rows["correct"]]
    return wrong.sort_values(["probability", "path"], ascending=[False, True]).head(count)


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Every k-th pixel of an image [H, W, 3], so that no side is much longer than 320."""
    step = max(1, max(image.shape[:2]) // _THUMBNAIL_PX)
    return image[::step, ::step]


def draw_mistakes(rows: pd.DataFrame, params: Params, root: Path, target: Path) -> None:
    """Draw the worst mistakes, their files decoded from below `root`, into the PNG `target`."""
    worst = worst_mistakes(rows, params.evaluate.worst_mistakes)
    pixels = params.images.max_pixels
    images = [thumbnail(decode_file(root / path, max_pixels=pixels)) for path in worst["path"]]
    said = zip(worst["label"], worst["predicted"], worst["probability"], strict=True)
    figures.mistakes(images, [(true, wrong, float(p)) for true, wrong, p in said], target)


def draw_figures(
    rows: pd.DataFrame,
    per_class: dict[str, dict[str, Any]],
    histories: Sequence[pd.DataFrame],
    target: Path,
) -> None:
    """Draw confusion matrix, reliability, classes and training curves into the folder `target`."""
    counts, names = confusion_table(rows, list(per_class))
    figures.confusion_matrix(counts, names, target / "confusion_matrix.png")
    valid = rows[rows["valid"]]
    confidence, correct = valid["probability"].to_numpy(), valid["correct"].to_numpy()
    figures.reliability(confidence, correct, target / "reliability.png")
    figures.per_class_bars(per_class, target / "per_class.png")
    figures.training_curves(histories, target / "training_curves.png")
