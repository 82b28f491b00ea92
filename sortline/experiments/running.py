"""Runs recipes, each with several seeds, as DVC experiments on one dataset; keeps their records."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sortline.core.dvc import read_pin
from sortline.core.errors import ParamsError, SortlineError
from sortline.core.files import exclusive
from sortline.core.params import overlay, parse_params
from sortline.core.paths import Paths
from sortline.experiments.budget import Budget
from sortline.experiments.records import (
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
    base, laid = job.laid()
    params = parse_params(NetworkParams, overlay(base, laid), job.recipe)
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
        image_size_px=params.backbone.image_size_px,
        images={split: int(counts[split]) for split in ("train", "val", "test")},
        accuracy=scores["accuracy"],
        macro_f1=scores["macro_f1"],
        recall={label: each["recall"] for label, each in scores["per_class"].items()},
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


def _check_weights(job: Job) -> None:
    """Find the weights before DVC starts: a step that fails has said why where nobody looks."""
    from sortline.training.weights import find_weights

    base, laid = job.laid()
    params = parse_params(NetworkParams, overlay(base, laid), job.recipe)
    find_weights(params.backbone, Paths(job.root).state / "weights")


def measure(job: Job) -> Record:
    """Run a job, unless an earlier comparison did, and keep its record.

    Raises:
        WeightsError: its weights cannot be had.
        SortlineError: a step failed.
    """
    experiment = job.experiment()
    kept = record_path(job.home, experiment)
    if kept.is_file():
        return read_record(kept)
    commit = find(job.root, experiment)
    if commit is None:
        _check_weights(job)
        commit = execute(job.root, experiment)
    record = _record(job, experiment, commit)
    write_record(kept, record)
    return record


@contextmanager
def _started(jobs: Sequence[Job], beside: int) -> Iterator[dict[Future[Record], Job]]:
    # A process of its own each, spawned: DVC changes the process's folder, and keeps state.
    pool = ProcessPoolExecutor(beside, get_context("spawn"), max_tasks_per_child=1)
    try:
        yield {pool.submit(measure, job): job for job in jobs}
    finally:
        pool.shutdown(cancel_futures=True)


def _reason(error: SortlineError) -> str:
    """The first line of an error that says what happened, without the list of what was tried."""
    return str(error).splitlines()[0].strip()


def run_all(jobs: Sequence[Job], beside: int) -> Iterator[Record | NotMeasured]:
    """Run every job; what fails is said, and the others go on.

    Yields:
        Records in the order in which they come, and what was not measured.
    """
    root = jobs[0].root
    with exclusive(root / ".sortline" / "run.lock", "A run of the graph"):
        check_data(root)
        os.environ.setdefault("SORTLINE_STATE_DIR", str(Paths(root).state.resolve()))
        with _started(jobs, beside) as started:
            for future in as_completed(started):
                job = started[future]
                try:
                    yield future.result()
                except SortlineError as error:
                    yield NotMeasured(job.recipe, job.seed, _reason(error))
