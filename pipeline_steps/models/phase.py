"""What both training steps share: rows from the manifest, features, the record of a phase."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline_steps.artifacts import Paths, atomic_dir, remove, require, sha256_json, write_json
from pipeline_steps.errors import DataError
from pipeline_steps.images import views as view_plan
from pipeline_steps.images.pixels import check_file, fingerprint, pixel_batches
from pipeline_steps.models.batches import Examples, one_hot
from pipeline_steps.models.engine import describe
from pipeline_steps.models.features import Extractor, Use, Views, features_of_splits
from pipeline_steps.models.logits import write_logits
from pipeline_steps.models.loop import Row, Trained, train
from pipeline_steps.models.weights import save_weights, variables_by_name
from pipeline_steps.params import Params, Phase

Array = npt.NDArray[Any]
_LOGITS_BATCH = 256


@dataclass(frozen=True)
class Dataset:
    """Labels, and the rows of the splits that training sees."""

    labels: tuple[str, ...]
    train: Views
    val: Views

    def digest(self) -> str:
        """SHA-256 of all rows with their labels and views, in hex."""
        rows = [
            [list(split.sha256), split.vectors.tolist(), split.labels.tolist()]
            for split in (self.train, self.val)
        ]
        return sha256_json([self.labels, rows])


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _views_of(
    images: pd.DataFrame, plan: pd.DataFrame, labels: tuple[str, ...], root: Path
) -> Views:
    drawn = dict(iter(plan.groupby("sha256")))
    files: list[Path] = []
    sha256: list[str] = []
    vectors: list[Array] = []
    count = np.ones(len(images), dtype="int64")
    for index, (path, sha) in enumerate(zip(images["path"], images["sha256"], strict=True)):
        rows = drawn.get(sha)
        extra = [] if rows is None else [view_plan.view_vector(row) for row in _records(rows)]
        vectors += [view_plan.PLAIN, *extra]
        count[index] += len(extra)
        files += [root / path] * int(count[index])
        sha256 += [sha] * int(count[index])
    return Views(
        files=files,
        sha256=sha256,
        vectors=np.stack(vectors).astype("float32"),
        labels=np.array([labels.index(label) for label in images["label"]], dtype="int64"),
        first=np.concatenate([[0], np.cumsum(count)[:-1]]),
        count=count,
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
    )


def extractor_of(model: keras.Model, *identities: dict[str, Any]) -> Extractor:
    """The frozen network `model`, one identity an output, fed with this project's pixels."""
    named = tuple({**identity, "pixels": fingerprint()} for identity in identities)
    return Extractor(model, named, pixel_batches, check_file)


def examples_of(
    dataset: Dataset, extractor: Extractor, params: Params, paths: Paths
) -> tuple[tuple[Examples, Examples], tuple[Use, Use]]:
    """Features of both splits, computed or found in the cache, and how many were which."""

    splits = (dataset.train, dataset.val)
    found = features_of_splits(splits, extractor, params.features, paths.features)
    train_split, val_split = (
        Examples(rows, views, one_hot(views.labels, len(dataset.labels)))
        for views, (rows, _) in zip(splits, found, strict=True)
    )
    return (train_split, val_split), (found[0][1], found[1][1])


def learnt_from(extractor: Extractor, params: Params) -> dict[str, Any]:
    """What the result of a phase depends on besides its settings, the seed and the rows."""
    features = [extractor.identities[0], describe(params.features.engine)]
    return {
        "features": [*features, params.features.model_dump()],
        "head": params.head.model_dump(),
    }


def _resume_file(paths: Paths, run: "PhaseRun", inputs: dict[str, Any]) -> Path:
    # Another file for each set of inputs that would change the result.
    facts = [run.stage, run.phase.model_dump(), run.facts, run.first_epoch, inputs]
    return paths.state / "resume" / f"{run.stage}-{sha256_json(facts)[:32]}.safetensors"


def _parameter_counts(network: keras.Model, trained: keras.Model) -> dict[str, int]:
    sizes = {name: int(np.prod(v.shape)) for name, v in variables_by_name(network).items()}
    training = sum(int(np.prod(v.shape)) for v in trained.trainable_variables)
    return {"parameters": sum(sizes.values()), "trainable_parameters": training}


def _log_live(folder: Path) -> Any:
    from dvclive import Live

    return Live(
        str(folder / "live"), dvcyaml=None, save_dvc_exp=False, report=None, monitor_system=False
    )


@dataclass(frozen=True)
class PhaseRun:
    """One phase, ready to train.

    Attributes:
        stage: name of the step.
        network: the whole classifier, in which `trained` shares its layers.
        trained: the part that runs: features to logits.
        phase: its settings.
        first_epoch: number of epochs before it.
        facts: what was resolved, recorded beside the weights.
        uses: of the feature cache, for train and val.
        started: when the step began, of `time.monotonic()`.
    """

    stage: str
    network: keras.Model
    trained: keras.Model
    phase: Phase
    first_epoch: int
    facts: dict[str, Any]
    uses: tuple[Use, Use]
    started: float


def run_phase(
    run: PhaseRun, splits: tuple[Examples, Examples], seed: int, paths: Paths, **inputs: Any
) -> Trained:
    """Train, then write `artifacts/phaseN` and `reports/STAGE`, each whole.

    Ends with the reports in place, then the weights, then the checkpoint removed: a kill in between
    is followed by a run that finds the checkpoint and only writes again.

    Args:
        run: the phase.
        splits: features of train and val.
        seed: of order, views and mixing.
        paths: of the graph.
        inputs: what else the result depends on: a checkpoint of other inputs is not gone on from.
    """
    resume = _resume_file(paths, run, {"seed": seed, **inputs})
    with atomic_dir(paths.reports / run.stage) as reports:
        with _log_live(reports) as live:

            def log(row: Row) -> None:
                live.step = int(row["epoch"])
                for name, value in row.items():
                    if name not in ("epoch", "seconds"):
                        split, metric = ("val", name[4:]) if name[:4] == "val_" else ("train", name)
                        live.log_metric(f"{split}/{metric}", value)
                live.next_step()

            trained = train(
                run.trained,
                splits,
                run.phase,
                seed=seed,
                first_epoch=run.first_epoch,
                resume=resume,
                on_epoch=log,
            )
        pd.DataFrame(trained.history).to_csv(reports / "history.csv", index=False)
        seconds = time.monotonic() - run.started
        write_json(reports / "seconds.json", {"seconds": round(seconds, 1)})
        uses = {name: asdict(use) for name, use in zip(("train", "val"), run.uses, strict=True)}
        write_json(reports / "features.json", uses)
    _write_artifact(run, splits, trained, paths)
    remove(resume)
    return trained


def _validation_logits(trained: keras.Model, val: Examples) -> tuple[list[str], Array]:
    batches = [trained.predict_on_batch(x) for x, _ in val.plain(_LOGITS_BATCH)]
    return [val.views.sha256[row] for row in val.views.first], np.concatenate(batches)


def _write_artifact(
    run: PhaseRun, splits: tuple[Examples, Examples], trained: Trained, paths: Paths
) -> None:
    target = paths.phase1 if run.stage == "train_phase1" else paths.phase2
    rows = {name: len(split.targets) for name, split in zip(("train", "val"), splits, strict=True)}
    facts = {
        **run.facts,
        **_parameter_counts(run.network, run.trained),
        "epochs_run": len(trained.history),
        "last_epoch": int(trained.history[-1]["epoch"]),
        "best_epoch": trained.best_epoch,
        "rows": rows,
        "epoch_images": splits[0].epoch_size,
        "metrics": trained.metrics,
    }
    with atomic_dir(target) as folder:
        save_weights(run.network, folder / "weights.safetensors")
        write_logits(folder, *_validation_logits(run.trained, splits[1]))
        write_json(folder / "facts.json", facts)
