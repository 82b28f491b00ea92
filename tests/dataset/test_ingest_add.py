"""Without these: images move between splits as a dataset grows, and no two years compare."""

import os
import shutil
import stat
from collections import Counter
from pathlib import Path

import pytest
from helpers.ingest_pictures import SETTINGS, images, make_source, save, split_of, tree

from sortline.core.errors import DataError
from sortline.dataset import ingest
from sortline.dataset.ingest_report import Ingested


def add(source: Path, data: Path, seed: int = 0) -> Ingested:
    settings = ingest.Settings(**(SETTINGS.__dict__ | {"seed": seed}))
    return ingest.ingest(str(source), data, settings, add=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 40 glass and 30 metal."""
    root = tmp_path_factory.mktemp("made")
    source = make_source(root / "raw", {"glass": 40, "metal": 30})
    ingest.ingest(str(source), root / "data", SETTINGS)
    return root


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "data", tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize("seed", range(4))
def test_growing_moves_nothing_and_keeps_the_core(made: Path, data: Path, seed: int) -> None:
    before, more = tree(data), data.parent / "more"
    make_source(more, {"glass": 25, "metal": 15}, first=1000)
    for number in range(0, 40, 4):
        save(more / "glass" / f"near_{number}.jpg", number, quality=75)
    shutil.copy(made / "raw" / "metal" / "metal_50.jpg", more / "metal" / "other_name.jpg")
    result = add(more, data, seed)
    after = tree(data)
    assert before.items() <= after.items()
    assert after["core.csv"] == before["core.csv"]
    assert (result.exact, result.kept) == (1, 50)
    assert len(after) == len(before) + 50
    for number in range(0, 40, 4):
        assert split_of(data, f"near_{number}.jpg") == split_of(data, f"glass_{number}.jpg")
    counts = Counter(path.partition("/")[0] for path in images(data))
    assert abs(counts["test"] - 12) <= 3
    assert abs(counts["val"] - 12) <= 3
    again = add(more, data, seed)
    assert (again.kept, again.exact) == (0, 51)
    assert tree(data) == after


def test_many_small_additions_stay_near_80_10_10(data: Path) -> None:
    for step in range(4):
        first = 2000 + 10 * step
        make_source(data.parent / f"more{step}", {"glass": 5, "metal": 5}, first)
        add(data.parent / f"more{step}", data)
    counts = Counter(tuple(path.split("/")[:2]) for path in images(data))
    assert [counts[split, "glass"] for split in ("train", "val", "test")] == [48, 6, 6]
    assert [counts[split, "metal"] for split in ("train", "val", "test")] == [40, 5, 5]


def test_a_picture_that_is_there_under_another_class_is_quarantined(made: Path, data: Path) -> None:
    before = tree(data)
    more = make_source(data.parent / "more", {"glass": 1}, first=3000)
    (more / "metal").mkdir()
    shutil.copy(made / "raw" / "glass" / "glass_7.jpg", more / "metal" / "wrong.jpg")
    result = add(more, data)
    assert (result.kept, result.refused) == (1, {"two labels": 1})
    assert before.items() <= tree(data).items()
    text = (data.parent / "artifacts" / "ingest" / "quarantine.csv").read_text()
    assert f"data/{split_of(data, 'glass_7.jpg')}/glass/glass_7.jpg" in text


def test_a_new_class_is_let_in_and_said(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from sortline.dataset.ingest_report import print_result

    result = add(make_source(data.parent / "more", {"paper": 10}, first=4000), data)
    assert result.new_labels == ["paper"]
    assert result.labels == ["glass", "metal", "paper"]
    print_result(result, Console())
    assert "new classes, which no earlier model knows: paper" in capsys.readouterr().out
    few = make_source(data.parent / "few", {"shoes": 2}, first=4100)
    with pytest.raises(DataError, match="'shoes' has 2 usable images"):
        add(few, data)


def test_a_name_that_is_taken_in_any_split_gets_another(data: Path) -> None:
    before, more = images(data), data.parent / "more"
    for number in range(40):
        save(more / "glass" / f"GLASS_{number}.JPG", 5000 + number)
    assert add(more, data).kept == 40
    names = [path.rpartition("/")[2].casefold() for path in images(data)]
    assert len(names) == len(set(names)) == len(before) + 40


def test_given_splits_are_kept_when_adding(data: Path) -> None:
    more = data.parent / "more"
    for number, split in enumerate(("train", "val", "test")):
        save(more / split / "glass" / f"given_{split}.jpg", 6000 + number)
    at_home = split_of(data, "glass_3.jpg")
    save(more / ("train" if at_home != "train" else "test") / "glass" / "near.jpg", 3, quality=75)
    assert add(more, data).kept == 4
    assert [split_of(data, f"given_{s}.jpg") for s in ("train", "val", "test")] == [
        "train",
        "val",
        "test",
    ]
    assert split_of(data, "near.jpg") == at_home


def test_a_dataset_without_a_core_gets_its_test_split_as_core(data: Path) -> None:
    old_test = sorted(f"data/{path}" for path in images(data) if path.startswith("test/"))
    (data / "core.csv").unlink()
    add(make_source(data.parent / "more", {"glass": 40}, first=7000), data)
    assert (data / "core.csv").read_text().splitlines() == ["path", *old_test]
    assert len([path for path in images(data) if path.startswith("test/")]) > len(old_test)


@pytest.mark.parametrize("kind", ["hardlink", "symlink"])
def test_links_into_the_cache_of_dvc_stay_links_and_the_cache_as_it_was(
    data: Path, kind: str
) -> None:
    cache = data.parent / "cache"
    cache.mkdir()
    for number, path in enumerate(sorted(data.rglob("*.*"))):
        kept = cache / str(number)
        path.rename(kept)
        kept.chmod(0o444)
        path.hardlink_to(kept) if kind == "hardlink" else path.symlink_to(kept)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in cache.iterdir()}
    add(make_source(data.parent / "more", {"glass": 10}, first=8000), data)
    assert before == {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in cache.iterdir()}
    assert {stat.S_IMODE(path.stat().st_mode) for path in cache.iterdir()} == {0o444}
    linked = [path for path in data.rglob("*.*") if path.is_symlink() or path.stat().st_nlink == 2]
    assert len(linked) == len(before)
    new = [path for path in data.rglob("*.jpg") if path not in linked]
    assert len(new) == 10
    assert all(os.access(path, os.W_OK) and path.stat().st_nlink == 1 for path in new)


def test_a_broken_dataset_is_not_added_to(data: Path) -> None:
    broken = next(data.glob("train/glass/*"))
    broken.write_bytes(broken.read_bytes()[:200])
    before = tree(data)
    with pytest.raises(DataError, match=f"{broken.name} is in the dataset, but .*dvc checkout"):
        add(make_source(data.parent / "more", {"glass": 1}, first=9000), data)
    assert tree(data) == before


def test_there_has_to_be_something_to_add_to(tmp_path: Path) -> None:
    source = make_source(tmp_path / "raw", {"glass": 9, "metal": 9})
    with pytest.raises(DataError, match=r"nothing to add to.* without --add"):
        add(source, tmp_path / "data")
