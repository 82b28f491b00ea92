"""Without these, a recipe would meet other images than those its numbers were measured on."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from sortline.cli.main import app
from sortline.core.errors import DataError
from sortline.core.files import digest_tree
from sortline.dataset.duplicates import luma_hash, near_pairs
from sortline.synthetic.birds import BUILDS, SPECIES, THIRTY_SPECIES
from sortline.synthetic.generated import classes_of, default_counts, draw, generate
from sortline.synthetic.problems import PROBLEMS
from sortline.synthetic.radiographs import radiograph

# Of three classes of each, two pictures to train on and one to test with (seed 42).
DIGESTS = {
    "birds30": "4455a00b014d193bf69b30e7505fdc50d19a07b4877bed9decd4bd08f49a9e7c",
    "birds400": "56a5a681e8d888b8a8eb40f86c0f756f4bd9f084d47ed37466a2ae6df1ff1952",
    "xray2": "1bcb1b868dfd5ce328a7217a49db58e15f89bd75be9c7d1409630ebdaadd1191",
    "digits": "e1bcdf5ac7acd92f223b6362616588f4bcf561f1f6feff6250901eb52bfc9e7c",
}


def sample(problem: str) -> dict[str, dict[str, int]]:
    some = classes_of(problem)[:3]
    return {"train": dict.fromkeys(some, 2), "test": dict.fromkeys(some, 1)}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_changed_generator_is_noticed(problem: str, tmp_path: Path) -> None:
    generate(tmp_path / "data", seed=42, counts=sample(problem), workers=1, problem=problem)
    assert digest_tree(tmp_path / "data") == DIGESTS[problem]


@pytest.mark.parametrize(
    ("problem", "classes", "images"),
    [("birds30", 30, 3_900), ("birds400", 400, 7_200), ("xray2", 2, 1_600), ("digits", 10, 6_600)],
)
def test_a_problem_has_its_classes_and_size(problem: str, classes: int, images: int) -> None:
    counts = default_counts(problem)
    assert set(counts) == {"train", "val", "test"}
    assert all(list(each) == sorted(classes_of(problem)) for each in counts.values())
    assert {len(each) for each in counts.values()} == {classes}
    assert sum(sum(each.values()) for each in counts.values()) == images


@pytest.mark.parametrize(
    ("problem", "mode", "size"), [("xray2", "L", (160, 160)), ("digits", "L", (28, 28))]
)
def test_grey_problems_are_stored_grey(
    problem: str, mode: str, size: tuple[int, int], tmp_path: Path
) -> None:
    generate(tmp_path, seed=1, counts=sample(problem), workers=1, problem=problem)
    for path in tmp_path.rglob("*.*g"):
        with Image.open(path) as image:
            assert (image.mode, image.size) == (mode, size)
            assert path.suffix == PROBLEMS[problem].suffix


def test_every_species_is_a_bird_of_its_own() -> None:
    assert len(set(SPECIES)) == 400
    assert len(set(THIRTY_SPECIES)) == 30
    assert {name.split("_")[1] for name in THIRTY_SPECIES} == set(BUILDS)
    assert set(THIRTY_SPECIES) < set(SPECIES)


# Of one class: pictures of a radiograph or of a digit are more alike than photographs are.
@pytest.mark.parametrize(("problem", "name"), [("xray2", "clear"), ("digits", "1")])
def test_no_picture_would_pass_for_another_ones_copy(problem: str, name: str) -> None:
    hashes = [luma_hash(np.asarray(draw(42, name, index, problem))) for index in range(1, 120)]
    assert not near_pairs(hashes, 32)


def test_the_two_findings_differ_by_the_haze_alone() -> None:
    for seed in range(8):
        clear, ill = (
            np.asarray(radiograph(name, Random(seed))).astype(int)
            for name in ("clear", "infiltrate")
        )
        assert (ill - clear).min() >= 0
        assert (ill - clear).max() > 10
        assert 0.003 < (ill > clear).mean() < 0.3


def test_an_unknown_problem_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="waste, birds30, birds400, xray2, digits"):
        generate(tmp_path / "data", seed=1, problem="birds40")
    with pytest.raises(DataError, match=r"'glass' cannot be drawn\. Use 0, 1"):
        generate(tmp_path / "data", seed=1, counts={"val": {"glass": 1}}, problem="digits")


def test_the_command_draws_a_problem_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = PROBLEMS["digits"].__class__("few", ("0", "1"), {"train": 2}, PROBLEMS["digits"].draw)
    monkeypatch.setattr("sortline.synthetic.generated.problem_named", lambda name: few)
    target = tmp_path / "data"
    command = ["generate", "--problem", "digits", "--data", str(target)]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 0, said.output
    assert "4 pictures" in said.output
    assert len(list(target.glob("train/*/*"))) == 4
