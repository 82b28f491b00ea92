"""The list by which a person picks a recipe."""

from pathlib import Path

import pytest
from helpers.made_records import record
from typer.testing import CliRunner

from sortline.cli.main import app
from sortline.core.errors import ArtifactError
from sortline.experiments.records import FOLDER, all_records, listed, write_record

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "head.yaml").write_text("# Only the head\n# trains. Slow elsewhere.\nseed: 1\n")
    (recipes / "tail.yaml").write_text("seed: 2\n")
    folder = tmp_path / FOLDER / "records"
    write_record(folder / "a.run.json", record("head", 0, 0.8, seconds=10.0))
    write_record(folder / "b.run.json", record("head", 1, 0.9, seconds=30.0, epoch_limit=2))
    small = {"train": 8, "val": 1, "test": 1}
    write_record(folder / "c.run.json", record("head", 0, 0.1, images=small))
    return tmp_path


def test_a_recipe_has_its_first_sentence_and_what_was_measured_on_most_images(root: Path) -> None:
    head, tail = listed(root, all_records(root))
    assert head.about == "Only the head trains."
    assert head.cost == "20 s, 85.0% on 1,000 images, at most 2 epochs a phase"
    assert (tail.about, tail.cost) == ("", "not measured")


def test_every_recipe_of_the_repository_says_what_it_is() -> None:
    for each in listed(ROOT, []):
        assert 10 < len(each.about) < 200, each.name


def test_the_command_lists_names_and_when_to_use_which(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    said = CliRunner().invoke(app, ["recipes"])
    assert said.exit_code == 0, said.output
    for text in ("head", "tail", "not measured", "Few images", "unlike ImageNet"):
        assert text in said.output


def test_a_damaged_record_is_named(root: Path) -> None:
    (root / FOLDER / "records" / "b.run.json").write_text('{"recipe": "head"}')
    with pytest.raises(ArtifactError, match=r"b\.run\.json is not a record.*Remove it"):
        all_records(root)
