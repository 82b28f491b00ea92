"""An exported model's answers to raw files, and the figures that are counted from them.

Candidate and champion answer for the same bytes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from sortline.core.errors import DataError
from sortline.core.refusal import REFUSED_CLASS_ID, REFUSED_IN_TABLES
from sortline.evaluation import metrics
from sortline.evaluation.metrics import Bools
from sortline.evaluation.settings import EvaluateParams
from sortline.model.local_model import Served, file_batches


@dataclass(frozen=True)
class Scores:
    """A model's answers to N files, in their order.

    Attributes:
        labels: the model's classes, in the order of its class ids.
        probabilities: float32 [N, C]; all zero for a file that is not an image to the model.
        class_id: int64 [N], `REFUSED_CLASS_ID` for such a file.
    """

    labels: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]

    @property
    def valid(self) -> Bools:
        """Which files the model answered for [N]."""
        return np.asarray(self.class_id != REFUSED_CLASS_ID)

    @property
    def confidence(self) -> npt.NDArray[np.float32]:
        """Probability of the predicted class [N]; 0 for a file without an answer."""
        answered = np.maximum(self.class_id, 0)
        return np.asarray(self.probabilities[np.arange(len(answered)), answered])

    @property
    def names(self) -> list[str]:
        """The predicted labels [N], `REFUSED_IN_TABLES` for a file without an answer."""
        name_of = {REFUSED_CLASS_ID: REFUSED_IN_TABLES, **dict(enumerate(self.labels))}
        return [name_of[class_id] for class_id in self.class_id.tolist()]


def score_files(model: Served, files: pd.DataFrame, root: Path, what: str) -> Scores:
    """Answers of `model` to `files` (columns path, sha256), with a progress bar named `what`.

    Raises:
        DataError: there is no file, or one of them is not what the manifest says.
    """
    if files.empty:
        raise DataError("There is no test image to score. `dvc repro validate` lists the images.")
    probabilities, class_ids = [], []
    with tqdm(total=len(files), unit="img", desc=what) as progress:
        for batch in file_batches(files, root):
            answer = model.predict_bytes(batch)
            valid = np.asarray(answer.valid, bool)
            probabilities.append(np.where(valid[:, None], answer.probabilities, np.float32(0.0)))
            class_ids.append(np.where(valid, answer.class_id, REFUSED_CLASS_ID))
            progress.update(len(batch))
    return Scores(
        tuple(model.labels),
        np.concatenate(probabilities).astype(np.float32),
        np.concatenate(class_ids).astype(np.int64),
    )


def label_ids(names: pd.Series, labels: tuple[str, ...]) -> metrics.Ints:
    """Class ids [N] of the files' labels.

    Raises:
        DataError: a label is not one of the model's.
    """
    if unknown := sorted(set(names) - set(labels)):
        raise DataError(
            f"The test split has the classes {', '.join(unknown)}; the model knows"
            f" {', '.join(labels)}. Run `dvc repro`: it trains on the classes that are there."
        )
    ids = {label: index for index, label in enumerate(labels)}
    return np.array([ids[name] for name in names], np.int64)


def summarise(truth: metrics.Ints, scores: Scores, params: EvaluateParams) -> dict[str, Any]:
    """Every figure that needs only the answers [N] and the true classes [N].

    An image without an answer is wrong, with all probabilities zero: Brier 1. It has no confidence,
    so the calibration error is of the others.

    Raises:
        DataError: the model answered for no image.
    """
    if not scores.valid.any():
        raise DataError(
            f"The exported model can read none of the {len(truth)} test images."
            " Run `dvc repro validate`, which names what is wrong with them."
        )
    counts = metrics.confusion_counts(truth, scores.class_id, len(scores.labels))
    right, valid, classes = truth == scores.class_id, scores.valid, metrics.per_class(counts)
    columns = zip(classes.precision, classes.recall, classes.f1, classes.support, strict=True)
    return {
        "accuracy": float(metrics.accuracy(counts)),
        "macro_f1": float(metrics.macro_f1(counts)),
        "ece": metrics.expected_calibration_error(scores.confidence[valid], right[valid]),
        "brier": metrics.brier(scores.probabilities, truth),
        "images": len(truth),
        "invalid": int((~valid).sum()),
        "intervals": metrics.intervals(counts, params.evaluate.bootstrap_samples, params.seed),
        "per_class": {
            label: {"precision": p, "recall": r, "f1": f, "support": int(n)}
            for label, (p, r, f, n) in zip(scores.labels, columns, strict=True)
        },
    }


def core_metrics(truth: metrics.Ints, scores: Scores, core: Bools) -> dict[str, Any]:
    """Accuracy and macro-F1 over the frozen core of the test split; null when there is none."""
    counts = metrics.confusion_counts(truth[core], scores.class_id[core], len(scores.labels))
    images = int(core.sum())
    return {
        "accuracy": float(metrics.accuracy(counts)) if images else None,
        "macro_f1": float(metrics.macro_f1(counts)) if images else None,
        "images": images,
    }


def two_classes(
    truth: metrics.Ints, scores: Scores, threshold: float | None
) -> dict[str, Any] | None:
    """Ranking of the second class over the images with an answer; None for more classes than two.

    Areas are null where the images are all of one class.
    """
    if len(scores.labels) != 2:
        return None
    positive, valid = truth[scores.valid] == 1, scores.valid
    probabilities = scores.probabilities[valid, 1]
    both = bool(positive.any() and not positive.all())
    return {
        "positive": scores.labels[1],
        "threshold": threshold,
        "roc_auc": metrics.roc_auc(probabilities, positive) if both else None,
        "pr_auc": metrics.pr_auc(probabilities, positive) if both else None,
        "positive_share": float(positive.mean()),
    }


def prediction_rows(files: pd.DataFrame, truth: metrics.Ints, scores: Scores) -> pd.DataFrame:
    """One row an image: what it is, what the model says, and every probability."""
    rows = files[["path", "sha256", "label", "core"]].reset_index(drop=True)
    rows = rows.assign(
        predicted=scores.names,
        probability=scores.confidence,
        correct=truth == scores.class_id,
        valid=scores.valid,
    )
    probabilities = pd.DataFrame(
        scores.probabilities, columns=[f"p_{label}" for label in scores.labels]
    )
    order = ["path", "sha256", "label", "predicted", "probability", "correct", "valid", "core"]
    return pd.concat([rows[order], probabilities], axis=1)
