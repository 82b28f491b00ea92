"""`sortline labels audit`: which labels of the dataset a person should look at.

Reads `artifacts/manifest.parquet`, `data/`, the pretrained weights, the feature cache.
Writes `artifacts/labels/`, whole: suspects.csv, to be reviewed; sheet.png, thumbnails of the first
of them; audit.json.
Refuses: random weights, a class with fewer than two different images.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from sortline.core.errors import DataError, WeightsError
from sortline.core.files import atomic_dir, require, write_json
from sortline.core.paths import Paths
from sortline.dataset.duplicates import groups
from sortline.experiments.settings import AuditParams, LabelAudit
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
_MAX_ITERATIONS = 400
BY_CLASSIFIER, BY_DUPLICATE, BY_BOTH = "classifier", "duplicate", "classifier and duplicate"


@dataclass(frozen=True)
class Suspect:
    """An image whose label is to be looked at.

    Attributes:
        row: of the image.
        given: id of its label.
        suggested: id of the class that it probably is.
        given_probability: that the label is right, by the classifier.
        suggested_probability: of the class suggested.
        found_by: `classifier`, `duplicate`, or both.
        twin: row of an exact or near duplicate with another label; None without one.
    """

    row: int
    given: int
    suggested: int
    given_probability: float
    suggested_probability: float
    found_by: str
    twin: int | None


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
    count = len(manifest)
    views = Views(  # All images as they are, whatever their split.
        files=[paths.root / path for path in manifest["path"]],
        sha256=list(manifest["sha256"]),
        vectors=np.tile(PLAIN, (count, 1)).astype("float32"),
        labels=np.zeros(count, "int64"),
        first=np.arange(count),
        count=np.ones(count, "int64"),
    )
    rows, _ = features_of(views, extractor, params.features, paths.features)
    return rows[:].astype(np.float32)


def _folds(labels: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], folds: int) -> int:
    """As many folds as asked for, but no more than the rarest class has groups of duplicates."""
    rarest = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    if rarest < 2:
        raise DataError(
            "A class has fewer than two images that are not duplicates: no classifier can judge"
            " it from others. Add images of it, or take it out of the dataset."
        )
    return min(folds, rarest)


def out_of_fold(
    features: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    groups: Sequence[int],
    settings: LabelAudit,
    seed: int,
) -> npt.NDArray[np.float64]:
    """Probabilities of the classes, each image's from a classifier that never saw it.

    The classifier is a logistic regression on standardised features. Duplicates are in one fold:
    else an image would be judged by a copy of itself.

    Args:
        features: pooled features, [N, D].
        labels: class ids from 0, [N]; every class occurs.
        groups: equal for images that are duplicates of each other, [N].
        settings: folds and regularisation.
        seed: of the folds.

    Returns:
        [N, C], each row sums to 1.

    Raises:
        DataError: a class has fewer than two images that are no duplicates.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    together = np.asarray(groups)
    count = _folds(labels, together, settings.folds)
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    probabilities = np.zeros((len(labels), int(labels.max()) + 1))
    for train, held_out in folds.split(features, labels, together):
        inverse = settings.inverse_regularisation
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=inverse, max_iter=_MAX_ITERATIONS)
        )
        with warnings.catch_warnings():
            # Not quite converged is good enough for a suspicion.
            warnings.filterwarnings("ignore", message="lbfgs failed to converge")
            model.fit(features[train], labels[train])
        predicted = model.predict_proba(features[held_out])
        probabilities[np.ix_(held_out, model[-1].classes_)] = predicted
    return probabilities


def twins(labels: Sequence[int], groups: Sequence[int]) -> dict[int, int]:
    """For each row that has a duplicate with another label, the first such duplicate."""
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    first = {}
    for rows in members.values():
        for row in rows:
            others = [other for other in rows if labels[other] != labels[row]]
            if others:
                first[row] = others[0]
    return first


def suspects(
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float64],
    groups: Sequence[int],
) -> Iterator[Suspect]:
    """Every suspect, the least probable label first; copies with two labels are all among them.

    Confident learning (C. Northcutt, L. Jiang, I. Chuang, "Confident Learning: Estimating
    Uncertainty in Dataset Labels", JAIR 2021), as cleanlab implements it: as many images of a class
    are pruned as the confident joint says are labelled wrongly.

    Args:
        labels: class ids [N].
        probabilities: of the classes, out of fold, [N, C].
        groups: equal for duplicates, [N].
    """
    from cleanlab.filter import find_label_issues

    paired = twins([int(label) for label in labels], groups)
    issues = find_label_issues(
        labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1
    )
    by_classifier = {int(row) for row in issues}
    rows = sorted({*by_classifier, *paired}, key=lambda r: (probabilities[r, labels[r]], r))
    for row in rows:
        labelled, twin = int(labels[row]), paired.get(row)
        others = probabilities[row].copy()
        others[labelled] = -1.0
        suggested = int(others.argmax())
        if row not in by_classifier and twin is not None:
            suggested = int(labels[twin])
        found_by = BY_CLASSIFIER if twin is None else BY_DUPLICATE
        if row in by_classifier and twin is not None:
            found_by = BY_BOTH
        yield Suspect(
            row,
            labelled,
            suggested,
            float(probabilities[row, labelled]),
            float(probabilities[row, suggested]),
            found_by,
            twin,
        )


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
    probabilities = out_of_fold(features, labels, same, params.label_audit, params.seed)
    listed = tuple(suspects(labels, probabilities, same))
    by = dict(sorted(Counter(suspect.found_by for suspect in listed).items()))
    agreement = float((probabilities.argmax(1) == labels).mean())
    return Audit(len(labels), listed, by, agreement), names


def suspect_table(
    listed: Sequence[Suspect], manifest: pd.DataFrame, names: Sequence[str]
) -> pd.DataFrame:
    """One row a suspect, with an empty decision for a person to fill in."""
    paths, sha256 = manifest["path"].tolist(), manifest["sha256"].tolist()
    rows = [
        (
            rank,
            paths[suspect.row],
            sha256[suspect.row],
            names[suspect.given],
            names[suspect.suggested],
            round(suspect.given_probability, _DECIMALS),
            round(suspect.suggested_probability, _DECIMALS),
            suspect.found_by,
            "" if suspect.twin is None else paths[suspect.twin],
            "",
        )
        for rank, suspect in enumerate(listed, start=1)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def audit(params: AuditParams, paths: Paths) -> Audit:
    """Audit the labels of all splits; see the module's docstring."""
    manifest = pd.read_parquet(require(paths.manifest, "dvc repro validate"))
    features = pooled_features(manifest, params, paths, manifest["label"].nunique())
    audited, names = find_suspects(manifest, features, params)
    table = suspect_table(audited.suspects, manifest, names)
    shown = table.head(params.label_audit.thumbnails)
    pixels = params.images.max_pixels
    files = [paths.root / path for path in shown["path"]]
    images = [thumbnail(decode_file(path, max_pixels=pixels)) for path in files]
    words = zip(shown["given"], shown["suggested"], shown["suggested_probability"], strict=True)
    captions = [(given, suggested, float(share)) for given, suggested, share in words]
    facts = {
        "images": audited.images,
        "suspects": len(audited.suspects),
        "found_by": audited.by,
        "agreement": round(audited.agreement, 6),
        "shown": len(shown),
        "backbone": params.backbone.model_dump(),
        "settings": params.label_audit.model_dump(),
    }
    with atomic_dir(paths.root / FOLDER) as folder:
        table.to_csv(folder / "suspects.csv", index=False)
        suspect_labels(images, captions, folder / "sheet.png")
        write_json(folder / "audit.json", facts)
    return audited
