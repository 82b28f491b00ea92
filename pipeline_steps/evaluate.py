"""Step evaluate: measure the exported model, by the very bytes that would be served.

Reads: artifacts/saved_model, artifacts/litert, artifacts/manifest.parquet,
artifacts/phase2/facts.json, history.csv of both phases, and the raw files of the test split.
Writes: reports/evaluation/ (metrics.json, latency.json, predictions.parquet, confusion.csv, and
figures/ with a picture for each registered figure), replaced as a whole.
Refuses: a file that is not the one validated, a label that the model does not know, a test split of
which the model can read no image.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from sortline.core.entry import step_main
from sortline.core.files import atomic_dir, read_json, require, write_json
from sortline.core.paths import Paths
from sortline.evaluation.latency import measure
from sortline.evaluation.litert import litert_latency, litert_metrics
from sortline.evaluation.metrics import rounded
from sortline.evaluation.scores import (
    core_metrics,
    label_ids,
    prediction_rows,
    score_files,
    summarise,
    two_classes,
)
from sortline.evaluation.settings import EvaluateParams
from sortline.model.contract import model_digest
from sortline.model.litert import Interpreted, read_litert
from sortline.model.local_model import load_model
from sortline.reporting.figures import Evaluated, draw_figures


class Params(EvaluateParams):
    """The sections of params.yaml that this step reads: seed, images and evaluate."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured: the contents of metrics.json and latency.json, and one row an image."""

    metrics: dict[str, Any]
    latency: dict[str, Any]
    predictions: pd.DataFrame


def evaluate(params: Params, paths: Paths) -> Evaluation:
    """Score the exported model on the test split, and time it."""
    trained = read_json(paths.phase2 / "facts.json", "dvc repro fine_tune_phase2")["metrics"]
    folder, root = require(paths.saved_model, "dvc repro export"), paths.root
    manifest = pd.read_parquet(require(paths.manifest, "dvc repro validate"))
    files = manifest[manifest["split"] == "test"].sort_values("path", ignore_index=True)
    model, digest, calls = load_model(folder), model_digest(folder), params.evaluate.latency_calls
    flat = {kind: Interpreted(data) for kind, data in read_litert(paths.litert, digest).items()}

    truth = label_ids(files["label"], tuple(model.labels))
    scores = score_files(model, files, root, "evaluate")
    figures = summarise(truth, scores, params)
    rows = prediction_rows(files, truth, scores)
    train, val, test = trained["train_accuracy"], trained["val_accuracy"], figures["accuracy"]
    metrics = {
        **figures,
        "two_classes": two_classes(truth, scores, model.contract.threshold),
        "core": core_metrics(truth, scores, files["core"].to_numpy(bool)),
        # What is learnt by heart shows here.
        "gaps": {"train_val": train - val, "train_test": train - test, "val_test": val - test},
        "model_digest": digest,
        "litert": litert_metrics(model, flat, rows, root, params),
    }
    latency = {
        **measure(model, rows, root, calls),
        "litert": litert_latency(model, flat, rows, root, calls),
    }
    return Evaluation(rounded(metrics), latency, rows)


def _write(result: Evaluation, params: Params, paths: Paths) -> None:
    histories = [
        pd.read_csv(require(paths.reports / step / "history.csv", f"dvc repro {step}"))
        for step in ("train_phase1", "fine_tune_phase2")
    ]
    with atomic_dir(paths.reports / "evaluation") as target:
        write_json(target / "metrics.json", result.metrics)
        write_json(target / "latency.json", result.latency)
        result.predictions.to_parquet(target / "predictions.parquet", index=False)
        pairs = result.predictions[["label", "predicted"]].rename(columns={"label": "actual"})
        pairs.to_csv(target / "confusion.csv", index=False)
        evaluated = Evaluated(
            predictions=result.predictions,
            metrics=result.metrics,
            histories=histories,
            root=paths.root,
            max_pixels=params.images.max_pixels,
            worst_mistakes=params.evaluate.worst_mistakes,
        )
        draw_figures(evaluated, target / "figures")


def _print(metrics: dict[str, Any], latency: dict[str, Any]) -> None:
    print(
        f"evaluate: accuracy {metrics['accuracy']:.4f}, macro-F1 {metrics['macro_f1']:.4f},"
        f" calibration error {metrics['ece']:.4f} on {metrics['images']} images;"
        f" {latency['p50_ms']:.1f} ms an image"
    )
    if ranked := metrics["two_classes"]:
        roc, pr = (
            "not defined" if ranked[key] is None else f"{ranked[key]:.4f}"
            for key in ("roc_auc", "pr_auc")
        )
        print(
            f"evaluate: {ranked['positive']} from {ranked['threshold'] or 0.5} on; area under the"
            f" ROC curve {roc}, under the precision-recall curve {pr} (by chance"
            f" {ranked['positive_share']:.4f})"
        )
    for kind, file in metrics["litert"].items():
        low, high = file["interval"]
        print(
            f"evaluate: LiteRT {kind} loses {100 * file['accuracy_lost']:.2f} points of accuracy"
            f" (95 %: {100 * low:.2f} to {100 * high:.2f}), and is"
            f" {latency['litert'][kind]['speedup']:.1f} times as fast as the SavedModel"
        )


def run(params: Params, paths: Paths) -> Evaluation:
    """Run the step."""
    result = evaluate(params, paths)
    _write(result, params, paths)
    _print(result.metrics, result.latency)
    return result


def main() -> None:
    """Run the step in the current folder."""
    step_main("evaluate", Params, run)


if __name__ == "__main__":
    main()
