"""What a person decided has to happen to exactly those images, or to none."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from sortline.cli.main import app
from sortline.core.errors import DataError
from sortline.core.files import digest_tree, sha256_file
from sortline.dataset import apply as apply_module
from sortline.dataset.apply import Applied, apply

FILES = ("train/glass/a.png", "train/glass/b.png", "train/metal/a.png", "test/metal/c.png")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    for place, name in enumerate(FILES):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (place * 50, 10, 10)).save(data / name)
    (data / "core.csv").write_text("path\ndata/test/metal/c.png\n")
    return data


def review(data: Path, **decisions: str) -> Path:
    """A reviewed CSV: decisions by file, with `/` written as `__` and without the suffix."""
    rows = []
    for name in FILES:
        key = name.removesuffix(".png").replace("/", "__")
        sha256 = sha256_file(data / name)
        rows.append({"path": f"data/{name}", "sha256": sha256, "decision": decisions.get(key, "")})
    target = data.parent / "reviewed.csv"
    pd.DataFrame(rows).to_csv(target, index=False)
    return target


def test_images_are_moved_removed_and_kept_as_decided(data: Path) -> None:
    moved, stays = sha256_file(data / FILES[0]), sha256_file(data / FILES[2])
    decided = review(data, train__glass__a="metal", train__glass__b="keep", test__metal__c="remove")
    (data / "test/metal/d.png").write_bytes((data / FILES[3]).read_bytes() + b"other")
    assert apply(decided, data) == Applied(moved=1, removed=1, kept=1)
    metal = {sha256_file(path) for path in (data / "train/metal").iterdir()}
    assert metal == {moved, stays}  # Both were called a.png: neither is written over.
    assert [path.name for path in (data / "train/glass").iterdir()] == ["b.png"]
    assert not (data / FILES[3]).exists()
    assert (data / "core.csv").read_text() == "path\n"


def test_the_list_of_frozen_test_images_follows_an_image_that_moves(data: Path) -> None:
    apply(review(data, test__metal__c="glass"), data)
    assert (data / "core.csv").read_text() == "path\ndata/test/glass/c.png\n"
    assert (data / "test/glass/c.png").is_file()


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        ({"train__glass__b": "wood"}, r"no class of the dataset.*glass, metal"),
        ({"train__glass__a": "remove", "train__glass__b": "metal"}, "Nothing would be left"),
    ],
)
def test_a_decision_that_cannot_be_carried_out_changes_nothing(
    data: Path, decisions: dict[str, str], message: str
) -> None:
    before = digest_tree(data)
    with pytest.raises(DataError, match=message):
        apply(review(data, **{"test__metal__c": "remove", **decisions}), data)
    assert digest_tree(data) == before
    assert sorted(path.name for path in data.parent.iterdir()) == ["data", "reviewed.csv"]


def test_an_image_that_was_changed_since_the_audit_is_not_touched(data: Path) -> None:
    decided = review(data, train__glass__a="remove")
    (data / FILES[0]).write_bytes((data / FILES[1]).read_bytes())
    with pytest.raises(DataError, match="not the file that was audited"):
        apply(decided, data)


@pytest.mark.parametrize("path", ["data/../secret.png", "/etc/passwd", "data/train/glass/../x/a"])
def test_a_path_out_of_the_dataset_is_refused(data: Path, path: str) -> None:
    decided = data.parent / "reviewed.csv"
    decided.write_text(f"path,sha256,decision\n{path},00,remove\n")
    with pytest.raises(DataError, match="no path of an image"):
        apply(decided, data)


def test_a_list_without_decisions_says_what_is_missing(data: Path) -> None:
    other = data.parent / "other.csv"
    other.write_text("path,label\n")
    with pytest.raises(DataError, match=r"no column sha256, decision"):
        apply(other, data)


def test_an_interrupt_leaves_the_dataset_as_it_was(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    decided, before = review(data, train__glass__a="metal"), digest_tree(data)
    monkeypatch.setattr(apply_module, "write_core", interrupted)
    with pytest.raises(KeyboardInterrupt):
        apply(decided, data)
    assert digest_tree(data) == before
    assert sorted(path.name for path in data.parent.iterdir()) == ["data", "reviewed.csv"]


def test_the_command_says_what_to_do_next(data: Path) -> None:
    decided = review(data, train__glass__a="metal")
    said = CliRunner().invoke(app, ["labels", "apply", str(decided), "--data", str(data)])
    assert said.exit_code == 0, said.output
    assert "1 moved, 0 removed" in said.output
    assert f"dvc add {data}" in said.output
