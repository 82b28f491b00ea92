"""Step evaluate: measure the exported model, by the very bytes that would be served.

Reads: artifacts/saved_model, artifacts/litert, artifacts/manifest.parquet,
artifacts/phase2/facts.json, history.csv of both phases, and the raw files of the test split.
Writes: reports/evaluation/ (metrics.json, latency.json, predictions.parquet, confusion.csv, and
figures/ with a picture for each registered figure), replaced as a whole.
Refuses: a file that is not the one validated, a label that the model does not know, a test split of
which the model can read no image.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sortline.core.entry import step_main
from sortline.core.errors import DataError
from sortline.core.files import atomic_dir, read_json, read_verified, require, write_json
from sortline.core.paths import Paths
from sortline.core.refusal import REFUSED_IN_TABLES
from sortline.evaluation import metrics
from sortline.evaluation.bootstrap import intervals
from sortline.evaluation.latency import measure
from sortline.evaluation.litert_scores import score_litert
from sortline.evaluation.ranking import pr_auc, roc_auc
from sortline.evaluation.settings import EvaluateParams
from sortline.model.contract import model_digest
from sortline.model.local_model import load_model
from sortline.model.scoring import Scores, score_files
from sortline.reporting.figures import Evaluated, draw_figures

_DECIMALS = 6
_LATENCY_FILES = 16


class Params(EvaluateParams):
    """The sections of params.yaml that this step reads: seed, images and evaluate."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured: the contents of metrics.json and latency.json, and one row an image."""

    metrics: dict[str, Any]
    latency: dict[str, Any]
    predictions: pd.DataFrame


def _rounded(value: Any) -> Any:
    """Floats to `_DECIMALS`, in any nesting: the last bits of a sum are no result."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return round(float(value), _DECIMALS) if isinstance(value, (float, np.floating)) else value


def label_ids(names: pd.Series, labels: tuple[str, ...]) -> npt.NDArray[np.int64]:
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


def _per_class(counts: metrics.Ints, labels: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    found = metrics.per_class(counts)
    columns = zip(found.precision, found.recall, found.f1, found.support, strict=True)
    return {
        label: {"precision": p, "recall": r, "f1": f, "support": int(n)}
        for label, (p, r, f, n) in zip(labels, columns, strict=True)
    }


def core_metrics(
    truth: metrics.Ints, scores: Scores, core: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    """Accuracy and macro-F1 over the frozen core of the test split; null when there is none."""
    counts = metrics.confusion_counts(truth[core], scores.class_id[core], len(scores.labels))
    images = int(core.sum())
    return {
        "accuracy": float(metrics.accuracy(counts)) if images else None,
        "macro_f1": float(metrics.macro_f1(counts)) if images else None,
        "images": images,
    }


def gaps(trained: dict[str, float], test_accuracy: float) -> dict[str, float]:
    """Differences in accuracy between the splits: what is learnt by heart shows here."""
    train, val = trained["train_accuracy"], trained["val_accuracy"]
    return {
        "train_val": train - val,
        "train_test": train - test_accuracy,
        "val_test": val - test_accuracy,
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
    given = scores.probabilities[valid, 1]
    both = bool(positive.any() and not positive.all())
    return {
        "positive": scores.labels[1],
        "threshold": threshold,
        "roc_auc": roc_auc(given, positive) if both else None,
        "pr_auc": pr_auc(given, positive) if both else None,
        "positive_share": float(positive.mean()),
    }


def summarise(truth: metrics.Ints, scores: Scores, params: Params) -> dict[str, Any]:
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
    right, valid = truth == scores.class_id, scores.valid
    return {
        "accuracy": float(metrics.accuracy(counts)),
        "macro_f1": float(metrics.macro_f1(counts)),
        "ece": metrics.expected_calibration_error(scores.confidence[valid], right[valid]),
        "brier": metrics.brier(scores.probabilities, truth),
        "images": len(truth),
        "invalid": int((~valid).sum()),
        "intervals": intervals(counts, params.evaluate.bootstrap_samples, params.seed),
        "per_class": _per_class(counts, scores.labels),
    }


def prediction_rows(files: pd.DataFrame, truth: metrics.Ints, scores: Scores) -> pd.DataFrame:
    """One row an image: what it is, what the model says, and every probability."""
    rows = files[["path", "sha256", "label", "core"]].reset_index(drop=True)
    rows = rows.assign(
        predicted=scores.names(REFUSED_IN_TABLES),
        probability=scores.confidence,
        correct=truth == scores.class_id,
        valid=scores.valid,
    )
    probabilities = pd.DataFrame(
        scores.probabilities, columns=[f"p_{label}" for label in scores.labels]
    )
    order = ["path", "sha256", "label", "predicted", "probability", "correct", "valid", "core"]
    return pd.concat([rows[order], probabilities], axis=1)


def _latency_bytes(rows: pd.DataFrame, root: Path) -> list[bytes]:
    """A few files the model can read, spread evenly over the split."""
    valid = rows[rows["valid"]]
    every = max(1, len(valid) // _LATENCY_FILES)
    chosen = valid.iloc[::every].head(_LATENCY_FILES)
    listed = zip(chosen["path"], chosen["sha256"], strict=True)
    return [read_verified(root / path, sha256) for path, sha256 in listed]


def held_out(paths: Paths) -> pd.DataFrame:
    """Rows of the manifest that are the test split, sorted by path."""
    manifest = pd.read_parquet(require(paths.manifest, "dvc repro validate"))
    return manifest[manifest["split"] == "test"].sort_values("path", ignore_index=True)


def evaluate(params: Params, paths: Paths) -> Evaluation:
    """Score the exported model on the test split, and time it."""
    facts = read_json(paths.phase2 / "facts.json", "dvc repro fine_tune_phase2")
    folder = require(paths.saved_model, "dvc repro export")
    files, model = held_out(paths), load_model(folder)
    truth = label_ids(files["label"], tuple(model.labels))
    scores = score_files(model, files, paths.root, "evaluate")
    found = summarise(truth, scores, params)
    found["two_classes"] = two_classes(truth, scores, model.contract.threshold)
    found["core"] = core_metrics(truth, scores, files["core"].to_numpy(bool))
    found["gaps"] = gaps(facts["metrics"], found["accuracy"])
    found["model_digest"] = model_digest(folder)
    rows = prediction_rows(files, truth, scores)
    timed = measure(model, _latency_bytes(rows, paths.root), params.evaluate.latency_calls)
    litert = score_litert(model, paths.litert, rows, params, paths.root)
    found["litert"] = litert.metrics
    return Evaluation(_rounded(found), {**timed, "litert": litert.latency}, rows)


def _write(result: Evaluation, params: Params, paths: Paths) -> None:
    histories = [
        pd.read_csv(require(paths.reports / step / "history.csv", f"dvc repro {step}"))
        for step in ("train_phase1", "fine_tune_phase2")
    ]
    with atomic_dir(paths.reports / "evaluation") as target:
        write_json(target / "metrics.json", result.metrics)
        write_json(target / "latency.json", result.latency)
        result.predictions.to_parquet(target / "predictions.parquet", index=False)
        pairs = result.predictions[["label", "predicted"]]
        pairs.set_axis(["actual", "predicted"], axis=1).to_csv(
            target / "confusion.csv", index=False
        )
        evaluated = Evaluated(
            predictions=result.predictions,
            metrics=result.metrics,
            histories=histories,
            root=paths.root,
            max_pixels=params.images.max_pixels,
            worst_mistakes=params.evaluate.worst_mistakes,
        )
        draw_figures(evaluated, target / "figures")


def _shown(area: float | None) -> str:
    return "not defined" if area is None else f"{area:.4f}"


def run(params: Params, paths: Paths) -> Evaluation:
    """Run the step."""
    result = evaluate(params, paths)
    _write(result, params, paths)
    found = result.metrics
    print(
        f"evaluate: accuracy {found['accuracy']:.4f}, macro-F1 {found['macro_f1']:.4f},"
        f" calibration error {found['ece']:.4f} on {found['images']} images;"
        f" {result.latency['p50_ms']:.1f} ms an image"
    )
    if ranked := found["two_classes"]:
        print(
            f"evaluate: {ranked['positive']} from {ranked['threshold'] or 0.5} on; area under the"
            f" ROC curve {_shown(ranked['roc_auc'])}, under the precision-recall curve"
            f" {_shown(ranked['pr_auc'])} (by chance {ranked['positive_share']:.4f})"
        )
    for kind, file in found["litert"].items():
        low, high = file["interval"]
        print(
            f"evaluate: LiteRT {kind} loses {100 * file['accuracy_lost']:.2f} points of accuracy"
            f" (95 %: {100 * low:.2f} to {100 * high:.2f}), and is"
            f" {result.latency['litert'][kind]['speedup']:.1f} times as fast as the SavedModel"
        )
    return result


def main() -> None:
    """Run the step in the current folder."""
    step_main("evaluate", Params, run)


if __name__ == "__main__":
    main()
