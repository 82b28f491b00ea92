"""`sortline labels audit`: which labels of the dataset a person should look at.

Reads `artifacts/manifest.parquet`, `data/`, the pretrained weights, the feature cache.
Writes `artifacts/labels/`, whole: suspects.csv, to be reviewed; sheet.png, thumbnails of the first
of them; audit.json.
Refuses: random weights, a class with fewer than two different images.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from sortline.core.errors import DataError, WeightsError
from sortline.core.files import atomic_dir, require, write_json
from sortline.core.paths import Paths
from sortline.dataset.duplicates import groups
from sortline.experiments.probabilities import out_of_fold
from sortline.experiments.settings import AuditParams
from sortline.experiments.suspects import Suspect, suspects
from sortline.images.decode import decode_file
from sortline.images.views import PLAIN
from sortline.reporting.drawing import suspect_labels, thumbnail
from sortline.training.features import Views, features_of, identity_of
from sortline.training.network import build_network
from sortline.training.phase import extractor_of
from sortline.training.weights import load_pretrained

FOLDER = Path("artifacts") / "labels"
COLUMNS = (
    "rank",
    "path",
    "sha256",
    "given",
    "suggested",
    "given_probability",
    "suggested_probability",
    "found_by",
    "twin",
    "decision",
)
_DECIMALS = 4


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        images: looked at.
        suspects: the least probable label first.
        by: number of suspects by what found them.
        agreement: share of the images whose label the classifier gives, too.
    """

    images: int
    suspects: tuple[Suspect, ...]
    by: dict[str, int]
    agreement: float


def _views(manifest: pd.DataFrame, root: Path) -> Views:
    """All images as they are, whatever their split."""
    rows = len(manifest)
    return Views(
        files=[root / path for path in manifest["path"]],
        sha256=list(manifest["sha256"]),
        vectors=np.tile(PLAIN, (rows, 1)).astype("float32"),
        labels=np.zeros(rows, "int64"),
        first=np.arange(rows),
        count=np.ones(rows, "int64"),
    )


def pooled_features(
    manifest: pd.DataFrame, params: AuditParams, paths: Paths, classes: int
) -> npt.NDArray[np.float32]:
    """Pooled features of the frozen backbone, [N, D]; those that phase 1 trains on, if it ran.

    Raises:
        WeightsError: the weights cannot be had, or are random ones.
    """
    network = build_network(params.backbone, params.head, classes, params.seed)
    backbone = network.get_layer("backbone")
    weights = load_pretrained(backbone, params.backbone, paths.state / "weights")
    if weights.sha256 is None:
        raise WeightsError(
            "backbone.weights is null, and features of random weights say nothing about labels."
            " Name pretrained ones, or a recipe that does: `sortline labels audit --recipe NAME`."
        )
    identity = identity_of(params.backbone, weights.sha256, params.head.pooling, params.seed)
    pooled = keras.Model(network.input, network.get_layer("pooling").output)
    extractor = extractor_of(pooled, identity)
    rows, _ = features_of(_views(manifest, paths.root), extractor, params.features, paths.features)
    return rows[:].astype(np.float32)


def find_suspects(
    manifest: pd.DataFrame, features: npt.NDArray[np.float32], params: AuditParams
) -> tuple[Audit, list[str]]:
    """Audit labels from features [N, D] of the manifest's images; also the names of the classes.

    Raises:
        DataError: there is one class only, or one of a single image.
    """
    names = sorted(manifest["label"].unique())
    if len(names) < 2:
        raise DataError(f"The dataset has {len(names)} class; labels are judged between two.")
    labels = np.array([names.index(label) for label in manifest["label"]], np.int64)
    bits = params.validate_.near_duplicate_bits
    same = groups(list(manifest["sha256"]), list(manifest["perceptual_hash"]), bits)
    found = out_of_fold(features, labels, same, params.label_audit, params.seed)
    listed = tuple(suspects(labels, found, same))
    by = dict(sorted(Counter(each.found_by for each in listed).items()))
    return Audit(len(labels), listed, by, float((found.argmax(1) == labels).mean())), names


def suspect_table(
    found: Sequence[Suspect], manifest: pd.DataFrame, names: Sequence[str]
) -> pd.DataFrame:
    """One row a suspect, with an empty decision for a person to fill in."""
    paths, sha256 = manifest["path"].tolist(), manifest["sha256"].tolist()
    rows = [
        (
            rank,
            paths[each.row],
            sha256[each.row],
            names[each.given],
            names[each.suggested],
            round(each.given_probability, _DECIMALS),
            round(each.suggested_probability, _DECIMALS),
            each.found_by,
            "" if each.twin is None else paths[each.twin],
            "",
        )
        for rank, each in enumerate(found, start=1)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _draw_sheet(table: pd.DataFrame, params: AuditParams, root: Path, target: Path) -> None:
    first = table.head(params.label_audit.thumbnails)
    pixels = params.images.max_pixels
    images = [thumbnail(decode_file(root / path, max_pixels=pixels)) for path in first["path"]]
    said = zip(first["given"], first["suggested"], first["suggested_probability"], strict=True)
    suspect_labels(images, [(given, new, float(p)) for given, new, p in said], target)


def _facts(audit: Audit, params: AuditParams) -> dict[str, Any]:
    return {
        "images": audit.images,
        "suspects": len(audit.suspects),
        "found_by": audit.by,
        "agreement": round(audit.agreement, 6),
        "shown": min(len(audit.suspects), params.label_audit.thumbnails),
        "backbone": params.backbone.model_dump(),
        "settings": params.label_audit.model_dump(),
    }


def audit(params: AuditParams, paths: Paths) -> Audit:
    """Audit the labels of all splits; see the module's docstring."""
    manifest = pd.read_parquet(require(paths.manifest, "dvc repro validate"))
    features = pooled_features(manifest, params, paths, manifest["label"].nunique())
    found, names = find_suspects(manifest, features, params)
    table = suspect_table(found.suspects, manifest, names)
    with atomic_dir(paths.root / FOLDER) as folder:
        table.to_csv(folder / "suspects.csv", index=False)
        _draw_sheet(table, params, paths.root, folder / "sheet.png")
        write_json(folder / "audit.json", _facts(found, params))
    return found
