"""Hours of runs: none may be lost to a stop, run twice, or be counted that was not made."""

import json
import re
from pathlib import Path

import pytest
from helpers.workspaces import call, git, make_workspace

from sortline.core.errors import DataError, ParamsError
from sortline.experiments.compare import Budget, jobs_for, workspace_for
from sortline.experiments.records import Results, training_seconds
from sortline.orchestration.params import check
from sortline.synthetic.generated import generate

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What is needed to plan runs; nothing can run."""
    for name in ("params.yaml", "dvc.yaml", "data.dvc"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/head.yaml").write_text("head:\n  hidden_units: 0\n")
    (tmp_path / "recipes/wrong.yaml").write_text("head:\n  hiden_units: 0\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    return tmp_path


def test_seeds_and_budgets_are_runs_of_their_own_and_repeat_under_one_name(root: Path) -> None:
    def names(budget: Budget) -> list[str]:
        jobs = jobs_for(root, root, ["head", "params"], budget, 1, check)
        return [job.experiment().name for job in jobs]

    first = names(Budget(2))
    assert [name.rsplit("-", 1)[0] for name in first] == ["head", "params", "head", "params"]
    assert first == names(Budget(2))
    every = [*first, *names(Budget(2, epochs=1)), *names(Budget(2, image_size_px=96))]
    assert len(set(every)) == 12


@pytest.mark.parametrize(
    ("recipes", "message"),
    [
        (["head", "haed"], "no recipe 'haed'"),
        (["head", "wrong"], "did you mean 'hidden_units'"),
        (["head", "head"], "head is named twice"),
    ],
)
def test_a_wrong_recipe_is_refused_before_anything_runs(
    root: Path, recipes: list[str], message: str
) -> None:
    with pytest.raises(ParamsError, match=message):
        jobs_for(root, root, recipes, Budget(1), 1, check)


def test_a_folder_that_is_no_dataset_says_what_one_is(tmp_path: Path) -> None:
    (tmp_path / "photos/train/glass").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no images in train, val, test.*sortline ingest"):
        workspace_for(tmp_path, tmp_path / "photos")


class Files(Results):
    """Results that were written down here."""

    def __init__(self, files: dict[str, object]) -> None:
        self.files = files

    def json(self, path: str) -> object:
        return self.files[path]

    def matching(self, pattern: str) -> list[str]:
        name = pattern.rsplit("/", 1)[1]
        return [path for path in self.files if path.endswith(name)]


@pytest.mark.parametrize("cached", [True, False])
def test_features_that_were_found_are_counted_once_as_if_they_had_been_computed(
    cached: bool,
) -> None:
    first = {"seconds": 0.0, "saved_s": 50.0} if cached else {"seconds": 50.0, "saved_s": 0.0}
    files: dict[str, object] = {
        "reports/train_phase1/seconds.json": {"seconds": 10.0 if cached else 60.0},
        "reports/train_phase1/features.json": {"train": first},
        "reports/fine_tune_phase2/seconds.json": {"seconds": 30.0},
        "reports/fine_tune_phase2/features.json": {
            "train": {"seconds": 0.0, "saved_s": 50.0},
            "train_2": {"seconds": 0.0, "saved_s": 50.0},
        },
    }
    assert training_seconds(Files(files)) == 90.0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_recipes_are_run_side_by_side_once_and_compared(tmp_path: Path) -> None:
    folder = make_workspace(tmp_path / "repository", (60, 20, 20))
    (folder / "recipes/tail.yaml").write_text("# One.\ntrain_phase1:\n  learning_rate: 0.001\n")
    absent = "backbone:\n  weights: /nowhere/weights.h5\n"
    (folder / "recipes/absent.yaml").write_text(absent)
    before = git(folder, "status", "--porcelain")
    asked = ("sortline", "compare", "params", "tail", "absent", "--epochs", "1", "--jobs", "2")
    first = call(folder, *asked).stdout
    assert git(folder, "status", "--porcelain") == before
    assert "at most 1 epoch a phase" in first
    records = sorted((folder / "runs/compare/records").iterdir())
    found = [json.loads(path.read_text()) for path in records]
    assert [each["recipe"] for each in found] == ["params", "tail"], first
    for each in found:
        assert len(each["curve"]) == 2
        assert each["images"] == {"train": 60, "val": 20, "test": 20}
        assert each["trained"] < each["parameters"]
    page = folder / re.findall(r"The page: (\S+)", first)[0]
    assert page.is_file()
    text = page.with_name("comparison.md").read_text()
    assert "| absent | not measured: backbone.weights is '/nowhere/weights.h5'" in text

    (page.parent / "comparison.html").unlink()
    records[0].unlink()  # As if it had been stopped between the run and its record.
    again = call(folder, *asked).stdout
    assert "Running stage" not in again
    assert page.with_name("comparison.md").read_text() == text


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_another_dataset_is_compared_on_without_touching_the_pinned_one(tmp_path: Path) -> None:
    folder = make_workspace(tmp_path / "repository", (20, 10, 10))
    counts = {split: {"0": 4, "1": 4} for split in ("train", "val", "test")}
    generate(tmp_path / "digits", seed=1, counts=counts, workers=1, problem="digits")
    before = git(folder, "status", "--porcelain")
    asked = ("sortline", "compare", "params", "--epochs", "1", "--data", str(tmp_path / "digits"))
    said = call(folder, *asked).stdout
    assert "8 / 8 / 8 images in 2 classes" in said
    assert git(folder, "status", "--porcelain") == before
    assert len(list((folder / "runs/compare/records").iterdir())) == 1
