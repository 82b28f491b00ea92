"""What one run of a recipe came to: read from its experiment, kept as JSON, listed by recipe.

A record is all that a comparison needs of a run; the run itself stays in DVC's cache.
"""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from sortline.core.errors import ArtifactError
from sortline.core.files import write_text
from sortline.experiments.run import Experiment

FOLDER = Path("runs") / "compare"
_SUFFIX = ".run.json"
_NEAR_FINAL = 0.9
WHEN = (
    "Few images: a frozen backbone with a small head; it has little to learn by heart.",
    "Many images: fine-tune a tail, or everything, at a small rate; views help before depth does.",
    "Domain unlike ImageNet (radiographs, microscopy): let more layers train.",
    "Few or many classes: a head learns ten classes from features alone; hundreds of classes that"
    " differ in details gain most from fine-tuning.",
    "From scratch: only as the baseline that shows what transfer learning buys.",
)
"""Which kind of regime to try first; `sortline compare` says whether it holds for your images."""


class Point(BaseModel):
    """Accuracies after an epoch, counted from 1 over all phases."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int
    train: float
    val: float


class Record(BaseModel):
    """One run of one recipe with one seed.

    Attributes:
        recipe: its name.
        seed: of every random choice in it.
        data: hash of the dataset, as data.dvc has it.
        experiment: name in DVC, with a hash of everything that the run depends on.
        commit: of the experiment.
        epoch_limit: what each phase was cut to; None: the recipe's own.
        image_size_px: side of what the network sees.
        images: in each split.
        accuracy: of the exported model on the test split, as macro_f1 and recall.
        gap: accuracy on the training split minus that on the validation split.
        val_accuracy: of the exported weights.
        curve: accuracies over the epochs of all phases; training's are running means, with dropout.
        seconds: of training, with every feature counted as if it had been computed in this run.
        parameters: of the network; `trained` is the most that a phase moved.
        size_bytes: of the exported SavedModel.
        latency_ms: of one image, the median; `latency_ratio` is against the reference network.
        beside: how many runs shared the machine, at most.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    seed: int
    data: str
    experiment: str
    commit: str
    epoch_limit: int | None
    image_size_px: int
    images: dict[str, int]
    accuracy: float
    macro_f1: float
    recall: dict[str, float]
    gap: float
    val_accuracy: float
    curve: list[Point]
    seconds: float
    parameters: int
    trained: int
    size_bytes: int
    latency_ms: float
    latency_ratio: float
    beside: int

    @property
    def near_final_epoch(self) -> int | None:
        """The first epoch with 90 % of the final accuracy on the validation split."""
        least = _NEAR_FINAL * self.val_accuracy
        return next((point.epoch for point in self.curve if point.val >= least), None)


def record_path(root: Path, experiment: Experiment) -> Path:
    """Where a repository keeps the record of an experiment."""
    return root / FOLDER / "records" / f"{experiment.name}{_SUFFIX}"


def write_record(target: Path, record: Record) -> None:
    """Write a record, whole or not at all."""
    write_text(target, record.model_dump_json(indent=1) + "\n")


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        ArtifactError: it is damaged.
    """
    try:
        return Record.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, ValueError, OSError) as error:
        raise ArtifactError(
            f"{path} is not a record of a run ({str(error).splitlines()[0]}). Remove it, and run"
            " `sortline compare` again: what was run is found in DVC's experiments."
        ) from error


def all_records(root: Path) -> list[Record]:
    """Every record that is kept below a repository, by name."""
    folder = root / FOLDER / "records"
    return [read_record(path) for path in sorted(folder.glob(f"*{_SUFFIX}"))]


class Results:
    """The files of an experiment, read from DVC's cache."""

    def __init__(self, root: Path, commit: str) -> None:
        from dvc.api import DVCFileSystem

        self._files = DVCFileSystem(str(root), rev=commit)

    def json(self, path: str) -> Any:
        """A JSON file.

        Raises:
            ArtifactError: the experiment has none of that path.
        """
        return json.loads(self._text(path))

    def matching(self, pattern: str) -> list[str]:
        """Paths that match a pattern, sorted."""
        return sorted(str(path).lstrip("/") for path in self._files.glob(pattern))

    def table(self, path: str) -> pd.DataFrame:
        """A CSV file."""
        return pd.read_csv(io.StringIO(self._text(path)))

    def _text(self, path: str) -> str:
        try:
            return str(self._files.read_text(path, encoding="utf-8"))
        except FileNotFoundError as error:
            raise ArtifactError(
                f"The experiment has no {path}: it ended early, or DVC's cache was cleared. Remove"
                " it with `dvc exp remove`, and run the comparison again."
            ) from error


def training_facts(results: Results) -> list[dict[str, Any]]:
    """facts.json of every phase that trained, in the order of their epochs."""
    steps = [results.json(path) for path in results.matching("artifacts/*/facts.json")]
    phases = [facts for facts in steps if "parameters" in facts]
    return sorted(phases, key=lambda facts: facts["last_epoch"])


def most_trained(facts: Sequence[Mapping[str, Any]]) -> int:
    """The most parameters that any phase of any step moved."""
    phases = [phase for step in facts for phase in step.get("phases") or [step]]
    return max(int(phase["trainable_parameters"]) for phase in phases)


def curve_of(results: Results) -> list[Point]:
    """Accuracies after each epoch of all phases."""
    points = []
    for path in results.matching("reports/*/history.csv"):
        for row in results.table(path).to_dict("records"):
            train, val = float(row["accuracy"]), float(row["val_accuracy"])
            points.append(Point(epoch=int(row["epoch"]), train=train, val=val))
    return sorted(points, key=lambda point: point.epoch)


def training_seconds(results: Results) -> float:
    """What training costs with an empty feature cache.

    A pass over the frozen part serves every phase: of each split the longest is counted, once, and
    also when its features were found in the cache, with what computing them had taken.
    """
    training = 0.0
    passes: dict[str, float] = {}
    for path in results.matching("reports/*/seconds.json"):
        training += float(results.json(path)["seconds"])
        uses = results.json(path.replace("seconds.json", "features.json"))
        for name, use in uses.items():
            split, seconds = name.split("_")[0], float(use["seconds"])
            training -= seconds
            passes[split] = max(passes.get(split, 0.0), seconds + float(use["saved_s"]))
    return round(training + sum(passes.values()), 1)


@dataclass(frozen=True)
class Listed:
    """A recipe as it is listed.

    Attributes:
        name: of its file, without the suffix.
        about: its first comment.
        cost: measured, in words; `not measured` else.
    """

    name: str
    about: str
    cost: str


def _about(path: Path) -> str:
    """The first sentence of the comment at a recipe's top."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").rstrip())
    text = " ".join(lines)
    end = text.find(". ")
    return text if end < 0 else text[: end + 1]


def _cost(records: Sequence[Record]) -> str:
    """What runs of a recipe took, from those on the dataset with the most images."""
    if not records:
        return "not measured"
    most = max(sum(record.images.values()) for record in records)
    same = [record for record in records if sum(record.images.values()) == most]
    seconds, accuracy = median(r.seconds for r in same), median(r.accuracy for r in same)
    limits = [record.epoch_limit for record in same if record.epoch_limit]
    cut = f", at most {max(limits)} epochs a phase" if limits else ""
    return f"{seconds:,.0f} s, {accuracy:.1%} on {most:,} images{cut}"


def listed(root: Path, records: Iterable[Record]) -> list[Listed]:
    """Every recipe of `recipes/`, by name."""
    by_recipe: dict[str, list[Record]] = {}
    for record in records:
        by_recipe.setdefault(record.recipe, []).append(record)
    return [
        Listed(path.stem, _about(path), _cost(by_recipe.get(path.stem, [])))
        for path in sorted((root / "recipes").glob("*.yaml"))
    ]
