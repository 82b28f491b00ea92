"""A record that misreads its experiment would put one recipe's numbers into another one's row."""

import json

import pytest
from helpers.workspaces import call, git

from sortline.core.errors import ArtifactError
from sortline.experiments.records import (
    Point,
    Results,
    curve_of,
    most_trained,
    training_facts,
    training_seconds,
)

FILES = {
    "artifacts/start/facts.json": {"champion": None},
    "artifacts/phase2/facts.json": {
        **{"parameters": 90, "trainable_parameters": 30, "last_epoch": 3},
        "phases": [{"trainable_parameters": 60}, {"trainable_parameters": 30}],
    },
    "artifacts/phase1/facts.json": {"parameters": 90, "trainable_parameters": 5, "last_epoch": 1},
    "reports/train_phase1/seconds.json": {"seconds": 4.0},
    "reports/train_phase1/features.json": {"train": {"seconds": 3.0, "saved_s": 0.0}},
    "reports/fine_tune_phase2/seconds.json": {"seconds": 6.0},
    "reports/fine_tune_phase2/features.json": {},
}
HEAD = "epoch,accuracy,val_accuracy\n"
CURVES = {
    "reports/fine_tune_phase2/history.csv": HEAD + "2,0.6,0.5\n3,0.8,0.7\n",
    "reports/train_phase1/history.csv": HEAD + "1,0.4,0.3\n",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What an experiment left, as a commit of a repository."""
    root = tmp_path_factory.mktemp("experiment")
    git(root, "init", "--quiet", "--initial-branch=main")
    call(root, "dvc", "init", "--quiet")
    for name, text in {**{n: json.dumps(v) for n, v in FILES.items()}, **CURVES}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=experiment")
    return Results(root, git(root, "rev-parse", "HEAD").strip())


def test_phases_are_read_in_the_order_of_their_epochs(results: Results) -> None:
    facts = training_facts(results)
    assert [each["last_epoch"] for each in facts] == [1, 3]
    assert most_trained(facts) == 60
    assert curve_of(results) == [
        Point(epoch=1, train=0.4, val=0.3),
        Point(epoch=2, train=0.6, val=0.5),
        Point(epoch=3, train=0.8, val=0.7),
    ]


def test_seconds_are_of_both_steps(results: Results) -> None:
    assert training_seconds(results) == 10.0


def test_a_file_that_is_missing_is_named_with_what_to_do(results: Results) -> None:
    with pytest.raises(ArtifactError, match=r"no reports/blessing\.json.*dvc exp remove"):
        results.json("reports/blessing.json")
