"""`sortline compare`."""

import os
from collections.abc import Sequence
from pathlib import Path

from sortline.core.dvc import read_pin
from sortline.core.paths import Paths
from sortline.experiments.budget import Budget
from sortline.experiments.page import Setting, as_markdown, write_pages
from sortline.experiments.records import FOLDER, Record
from sortline.experiments.running import NotMeasured, jobs_for, run_all
from sortline.experiments.summary import summarise
from sortline.experiments.workspace import workspace_for
from sortline.reporting.findings import git_commit


def _say(result: Record | NotMeasured) -> None:
    what = f"{result.recipe}, seed {result.seed}"
    if isinstance(result, Record):
        print(f"{what}: {result.accuracy:.2%} of the test split, {result.seconds:,.0f} s")
    else:
        print(f"{what}: not measured: {result.reason}")


def compare(
    root: Path, recipes: Sequence[str], budget: Budget, data: Path | None, beside: int
) -> Path:
    """Run recipes on one dataset and write the comparison; returns its folder.

    Raises:
        ParamsError: a recipe is unknown or wrong.
        DataError: there is no dataset, or not the one that is pinned.
    """
    os.environ.setdefault("SORTLINE_STATE_DIR", str(Paths(root).state.resolve()))
    place = root if data is None else workspace_for(root, data)
    jobs = jobs_for(place, root, recipes, budget, beside)
    print(f"{len(recipes)} recipes; {budget.described()}.", flush=True)
    results = []
    for result in run_all(jobs, beside):
        _say(result)
        results.append(result)
    summaries = summarise(recipes, results)
    data_md5 = read_pin(place / "data.dvc").digest
    setting = Setting(data_md5, git_commit(place) or "unknown", budget.described())
    target = write_pages(root / FOLDER / data_md5[:12], summaries, setting)
    print(as_markdown(summaries, setting))
    return target
