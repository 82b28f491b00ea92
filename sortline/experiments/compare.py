"""`sortline compare`: recipes, each with several seeds, as DVC experiments on one dataset.

Every recipe is granted the same budget. What a run came to is kept as a record; what fails is said,
and the others go on. A dataset that the repository does not pin gets a clone of its own.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sortline.core.dvc import dvc_output, read_pin
from sortline.core.errors import DataError, ParamsError, SortlineError
from sortline.core.files import exclusive, sha256_json
from sortline.core.git import git
from sortline.core.params import SPLITS, overlay, parse_params
from sortline.core.paths import Paths
from sortline.core.quiet import quiet_libraries
from sortline.dataset.layout import dataset_files, link_tree
from sortline.experiments.records import (
    FOLDER,
    Record,
    Results,
    curve_of,
    most_trained,
    read_record,
    record_path,
    training_facts,
    training_seconds,
    write_record,
)
from sortline.experiments.run import (
    Check,
    Experiment,
    check_data,
    execute,
    find,
    plan,
    read_recipe,
    source_of,
)
from sortline.training.network_settings import NetworkParams

PARAMS = "params"
"""Stands for params.yaml without a recipe."""


@dataclass(frozen=True)
class Budget:
    """Limits laid over each recipe; None leaves the recipe its own.

    Attributes:
        seeds: runs of each recipe, with the seeds 0 to `seeds` - 1.
        epochs: at most so many in each phase.
        image_size_px: side of what every network sees.
        alpha: width of every MobileNetV2.
    """

    seeds: int
    epochs: int | None = None
    image_size_px: int | None = None
    alpha: float | None = None

    def laid_over(self, recipe: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
        """The recipe with the budget over it.

        Args:
            recipe: its values.
            settings: params.yaml with the recipe over it, whose phases are cut short.
        """
        limits: dict[str, Any] = {"validate": {"expected_counts": None}}  # Whatever the dataset.
        if self.epochs is not None:
            limits = overlay(limits, _shortened(settings, self.epochs) or {})
        if self.image_size_px is not None:
            limits = overlay(limits, {"backbone": {"image_size_px": self.image_size_px}})
        if self.alpha is not None and settings["backbone"]["architecture"] == "mobilenet_v2":
            limits = overlay(limits, {"backbone": {"alpha": self.alpha}})
        return overlay(recipe, limits)

    def described(self) -> str:
        """The budget in a sentence."""
        seeds = "one seed" if self.seeds == 1 else f"{self.seeds} seeds"
        epochs = "the recipes' own epochs"
        if self.epochs is not None:
            epochs = f"at most {self.epochs} epoch{'s' if self.epochs > 1 else ''} a phase"
        size = "the recipes' own resolution"
        if self.image_size_px is not None:
            size = f"{self.image_size_px} x {self.image_size_px} px"
        width = "" if self.alpha is None else f", MobileNetV2 of width {self.alpha:g}"
        return f"{seeds}, {epochs}, {size}{width}"


def _shortened(settings: Any, epochs: int) -> Any:
    """The part of settings that changes when no phase may take more epochs; None if none does.

    A phase is whatever has epochs, wherever it stands: alone, or in a list.
    """
    if isinstance(settings, list):
        parts = [_shortened(item, epochs) for item in settings]
        if all(part is None for part in parts):
            return None
        # A list replaces a list: every element is given whole.
        pairs = zip(settings, parts, strict=True)
        return [item if part is None else overlay(item, part) for item, part in pairs]
    if not isinstance(settings, Mapping):
        return None
    changed: dict[str, Any] = {}
    own = settings.get("epochs")
    if isinstance(own, int) and own > epochs:
        changed["epochs"] = epochs
        warmup = settings.get("warmup_epochs")
        if isinstance(warmup, int) and warmup >= epochs:
            changed["warmup_epochs"] = epochs - 1
    for key, value in settings.items():
        if (part := _shortened(value, epochs)) is not None:
            changed[key] = part
    return changed or None


@dataclass(frozen=True)
class Job:
    """One run to be made.

    Attributes:
        root: the repository, or a clone of it with another dataset.
        home: the repository that keeps the record.
        recipe: its name, or `params`.
        seed: of the run.
        budget: what every run is granted.
        data: hash of the dataset.
        beside: how many runs go on at once, at most.
    """

    root: Path
    home: Path
    recipe: str
    seed: int
    budget: Budget
    data: str
    beside: int

    def named(self) -> str | None:
        """The recipe; None for params.yaml alone."""
        return None if self.recipe == PARAMS else self.recipe

    def laid(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """params.yaml's values, and what is laid over them: recipe, budget, seed."""
        base, own = read_recipe(self.root, self.named())
        granted = self.budget.laid_over(own, overlay(base, own))
        return base, overlay(granted, {"seed": self.seed})

    def network(self) -> NetworkParams:
        """The settings of its network.

        Raises:
            ParamsError: they are wrong.
        """
        return parse_params(NetworkParams, overlay(*self.laid()), self.recipe)

    def experiment(self) -> Experiment:
        """What DVC is to run.

        Raises:
            ParamsError: the recipe is unknown.
        """
        return plan(self.root, self.named(), self.laid()[1])


@dataclass(frozen=True)
class NotMeasured:
    """A run that was not made, and why."""

    recipe: str
    seed: int
    reason: str


def jobs_for(
    root: Path,
    home: Path,
    recipes: Sequence[str],
    budget: Budget,
    beside: int,
    check: Check,
) -> list[Job]:
    """One job a recipe and seed; the recipes are checked, all of them, before anything runs.

    Raises:
        ParamsError: a recipe is unknown, named twice, or wrong under this budget.
    """
    if doubles := sorted({name for name in recipes if list(recipes).count(name) > 1}):
        raise ParamsError(f"{', '.join(doubles)} is named twice. Name each recipe once.")
    data = read_pin(root / "data.dvc").digest
    seeds = range(budget.seeds)
    # All recipes with one seed before any with the next: a stopped comparison has a whole table.
    jobs = [Job(root, home, name, seed, budget, data, beside) for seed in seeds for name in recipes]
    for job in jobs[: len(recipes)]:
        check(overlay(*job.laid()), source_of(job.named()))
    return jobs


def _record(job: Job, experiment: Experiment, commit: str) -> Record:
    results = Results(job.root, commit)
    scores = results.json("reports/evaluation/metrics.json")
    speed = results.json("reports/evaluation/latency.json")
    counts = results.json("reports/validation.json")
    facts = training_facts(results)
    return Record(
        recipe=job.recipe,
        seed=job.seed,
        data=job.data,
        experiment=experiment.name,
        commit=commit,
        epoch_limit=job.budget.epochs,
        image_size_px=job.network().backbone.image_size_px,
        images={split: int(counts[split]) for split in ("train", "val", "test")},
        accuracy=scores["accuracy"],
        macro_f1=scores["macro_f1"],
        recall={label: figures["recall"] for label, figures in scores["per_class"].items()},
        gap=scores["gaps"]["train_val"],
        val_accuracy=facts[-1]["metrics"]["val_accuracy"],
        curve=curve_of(results),
        seconds=training_seconds(results),
        parameters=facts[-1]["parameters"],
        trained=most_trained(facts),
        size_bytes=results.json("reports/export.json")["size_bytes"],
        latency_ms=speed["p50_ms"],
        latency_ratio=speed["ratio"],
        beside=job.beside,
    )


def measure(job: Job) -> Record:
    """Run a job, unless an earlier comparison did, and keep its record.

    Raises:
        WeightsError: its weights cannot be had.
        SortlineError: a step failed.
    """
    from sortline.training.weights import find_weights

    experiment = job.experiment()
    path = record_path(job.home, experiment)
    if path.is_file():
        return read_record(path)
    commit = find(job.root, experiment)
    if commit is None:
        # Before DVC starts: a step that fails has said why where nobody looks.
        find_weights(job.network().backbone, Paths(job.root).state / "weights")
        commit = execute(job.root, experiment)
    record = _record(job, experiment, commit)
    write_record(path, record)
    return record


def run_all(jobs: Sequence[Job], beside: int) -> Iterator[Record | NotMeasured]:
    """Run every job; what fails is said, and the others go on.

    Yields:
        Records in the order in which they come, and what was not measured.
    """
    root = jobs[0].root
    with exclusive(root / ".sortline" / "run.lock", "A run of the graph"):
        check_data(root)
        os.environ.setdefault("SORTLINE_STATE_DIR", str(Paths(root).state.resolve()))
        # A process of its own each, spawned: DVC changes the process's folder, and keeps state.
        spawned = get_context("spawn")
        pool = ProcessPoolExecutor(beside, spawned, quiet_libraries, max_tasks_per_child=1)
        try:
            started = {pool.submit(measure, job): job for job in jobs}
            for future in as_completed(started):
                job = started[future]
                try:
                    yield future.result()
                except SortlineError as error:
                    # What happened, without the list of what was tried.
                    reason = str(error).splitlines()[0].strip()
                    yield NotMeasured(job.recipe, job.seed, reason)
        finally:
            pool.shutdown(cancel_futures=True)


def workspace_for(root: Path, data: Path) -> Path:
    """A clone of the last commit whose data/ is `data`, with this repository's settings.

    It is made once for a dataset, lies in runs/compare/, and keeps its own experiments; features
    are shared.

    Raises:
        DataError: `data` is no dataset.
        SortlineError: git or DVC failed.
    """
    files = list(dataset_files(data))
    splits = {split for _, split, _ in files}
    if missing := [split for split in SPLITS if split not in splits]:
        raise DataError(
            f"{data} has no images in {', '.join(missing)}. A dataset to compare on is laid out"
            " {train,val,test}/<class>/<image>: make one with `sortline ingest SRC --data DIR` or"
            " `sortline generate --problem NAME --data DIR`."
        )
    rows = [
        [path.relative_to(data).as_posix(), path.stat().st_size, path.stat().st_mtime_ns]
        for path, _, _ in files
    ]
    folder = root / FOLDER / "data" / sha256_json(rows)[:12]
    if not (folder / ".git").is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        clone = ("clone", "--quiet", "--no-hardlinks", str(root.resolve()), str(folder))
        git(root, *clone, error=SortlineError)
    git(folder, "pull", "--quiet", "--ff-only", error=SortlineError)
    if not (folder / "data").is_dir():
        (folder / "data").mkdir()
        link_tree(data, folder / "data")
        dvc_output(folder, "add", "--quiet", "data")
    shutil.copyfile(root / "params.yaml", folder / "params.yaml")
    shutil.copytree(root / "recipes", folder / "recipes", dirs_exist_ok=True)
    return folder
