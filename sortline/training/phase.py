"""What a phase learns from: rows of the manifest, and their features or pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from sortline.core.errors import DataError
from sortline.core.files import read_verified, require, sha256_json
from sortline.core.paths import Paths
from sortline.images import views as view_plan
from sortline.images.augmentations import AUGMENTATIONS, names_in
from sortline.images.pixels import fingerprint, pixel_batches
from sortline.training.backbones import BACKBONES
from sortline.training.batches import Examples, Streamed, balanced_weights, one_hot
from sortline.training.devices import OneDevice, current, has_accelerator
from sortline.training.engine import describe
from sortline.training.feature_store import Rows
from sortline.training.features import Extractor, Use, Views, features_of_splits
from sortline.training.held_rows import HeldRows
from sortline.training.phase_settings import Objective, TrainingParams
from sortline.training.pixel_rows import PixelRows

Array = npt.NDArray[Any]
Splits = tuple[Examples, Examples]
_GREY_MODES = frozenset({"1", "L", "LA", "I;16", "LA;16"})


@dataclass(frozen=True)
class Dataset:
    """Labels, and the rows of the splits that training sees; `grey`: no image has a colour."""

    labels: tuple[str, ...]
    train: Views
    val: Views
    grey: bool

    def digest(self) -> str:
        """SHA-256 of all rows with their labels and views, in hex."""
        rows = [
            [list(split.sha256), split.vectors.tolist(), split.labels.tolist()]
            for split in (self.train, self.val)
        ]
        marks = [AUGMENTATIONS[name].code for name in self.train.added]
        return sha256_json([self.labels, rows, *marks])


def _views_of(
    images: pd.DataFrame, plan: pd.DataFrame, labels: tuple[str, ...], root: Path
) -> Views:
    added = names_in(list(plan.columns))
    plain = view_plan.plain_vector(added)[np.newaxis]
    drawn = {sha: view_plan.view_vectors(rows, added) for sha, rows in plan.groupby("sha256")}
    vectors = [np.concatenate([plain, drawn.get(sha, plain[:0])]) for sha in images["sha256"]]
    count = np.array([len(vector) for vector in vectors], dtype="int64")
    return Views(
        files=[root / path for path in np.repeat(images["path"].to_numpy(str), count)],
        sha256=np.repeat(images["sha256"].to_numpy(str), count).tolist(),
        vectors=np.concatenate(vectors),
        labels=np.array([labels.index(label) for label in images["label"]], dtype="int64"),
        first=np.concatenate([[0], np.cumsum(count)[:-1]]),
        count=count,
        added=added,
    )


def read_dataset(paths: Paths) -> Dataset:
    """Rows of train (with the planned views) and val (plain) from the manifest.

    Raises:
        ArtifactError: the manifest or the plan is missing.
        DataError: a split is empty.
    """
    manifest = pd.read_parquet(require(paths.manifest, "dvc repro validate"))
    plan = pd.read_parquet(require(paths.views, "dvc repro augment"))
    labels = tuple(sorted(manifest["label"].unique()))
    splits = {name: manifest[manifest["split"] == name] for name in ("train", "val")}
    for name, images in splits.items():
        if images.empty:
            raise DataError(
                f"The {name} split has no images. Run `sortline ingest` to split again."
            )
    return Dataset(
        labels,
        _views_of(splits["train"], plan, labels, paths.root),
        _views_of(splits["val"], plan.iloc[:0], labels, paths.root),
        grey=bool(manifest["mode"].isin(_GREY_MODES).all()),
    )


def extractor_of(model: keras.Model, *identities: dict[str, Any]) -> Extractor:
    """The frozen network `model`, one identity an output, fed with this project's pixels."""
    named = tuple({**identity, "pixels": fingerprint()} for identity in identities)
    return Extractor(model, named, pixel_batches, read_verified)


def _examples(
    dataset: Dataset, rows: tuple[Array | Rows | Streamed, Array | Rows | Streamed], goal: Objective
) -> Splits:
    classes = len(dataset.labels)
    sparse, labels = goal.loss == "sparse", dataset.train.labels
    targets = [
        split.labels if sparse else one_hot(split.labels, classes)
        for split in (dataset.train, dataset.val)
    ]
    weights = balanced_weights(labels, classes) if goal.balance == "class_weights" else None
    sampled = goal.balance == "sampling"
    return (
        Examples(rows[0], dataset.train, targets[0], weights, sampled),
        Examples(rows[1], dataset.val, targets[1]),
    )


def examples_of(
    dataset: Dataset, extractor: Extractor, params: TrainingParams, paths: Paths
) -> tuple[Splits, tuple[Use, Use]]:
    """Features of both splits, computed or found in the cache, and how many were which."""
    splits = (dataset.train, dataset.val)
    train, val = features_of_splits(splits, extractor, params.features, paths.features)
    rows = [on_device(part[0], params.features.device_gb) for part in (train, val)]
    return _examples(dataset, (rows[0], rows[1]), params.objective), (train[1], val[1])


def on_device(rows: Rows, device_gb: float) -> Rows | HeldRows:
    """The rows where the one device that trains has them soonest."""
    fits = rows.nbytes <= device_gb * 1e9 / 2  # For a moment they are there twice.
    alone = isinstance(current(), OneDevice)  # Several devices share each batch out themselves.
    return HeldRows(rows) if fits and alone and has_accelerator() else rows


def pixels_of(dataset: Dataset, params: TrainingParams) -> Splits:
    """Pixels of both splits, decoded whenever they are asked for."""
    size_px = params.backbone.image_size_px
    rows = PixelRows(dataset.train, size_px), PixelRows(dataset.val, size_px)
    return _examples(dataset, rows, params.objective)


def warn_of_grey_images(dataset: Dataset, params: TrainingParams) -> None:
    """Tell before training when a backbone that sees colour gets images without any."""
    if dataset.grey and BACKBONES[params.backbone.architecture].pixels.channels != "grey":
        weights = f"weights {params.backbone.weights}" if params.backbone.weights else "no weights"
        print(
            f"Every image is grey, and {params.backbone.architecture} ({weights}) sees three"
            " channels: each of them gets the grey one. What it learnt of colour is of no use here."
        )


def learnt_from(params: TrainingParams, extractor: Extractor | None) -> dict[str, Any]:
    """What the result of a phase depends on besides its settings, the seed and the rows."""
    features: list[Any] = [{"pixels": fingerprint(), "size_px": params.backbone.image_size_px}]
    if extractor:
        engine = describe(params.features.engine)
        settings = params.features.model_dump(exclude={"device_gb"})  # It changes no result.
        features = [extractor.identities[0], engine, settings]
    return {
        "features": features,
        "head": params.head.model_dump(),
        "objective": params.objective.model_dump(),
    }
