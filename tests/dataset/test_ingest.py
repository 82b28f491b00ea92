"""Without these: lost or mangled photographs, and test scores made of training images."""

import csv
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.ingest_pictures import SETTINGS, images, make_source, picture, save, split_of, tree
from PIL import Image, ImageOps
from rich.console import Console
from typer.testing import CliRunner

from sortline.cli.main import app
from sortline.core.errors import BusyError, DataError
from sortline.core.files import exclusive, recover_dir
from sortline.dataset import ingest
from sortline.dataset.ingest_report import Ingested, print_result
from sortline.synthetic import generated

REPOSITORY = Path(__file__).parents[2]


def run(source: Path | str, data: Path, **changes: int) -> Ingested:
    settings = ingest.Settings(**(SETTINGS.__dict__ | changes))
    return ingest.ingest(str(source), data, settings)


def rows(data: Path, name: str) -> list[dict[str, str]]:
    with (data.parent / "artifacts" / "ingest" / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.partial")]


def test_photographs_are_copied_bit_for_bit_and_split(tmp_path: Path) -> None:
    source, data = make_source(tmp_path / "raw", {"glass": 30, "metal": 20}), tmp_path / "data"
    result = run(source, data)
    given, kept = tree(source), images(data)
    assert sorted(given.values()) == sorted(kept.values())
    assert {path.split("/", 1)[1] for path in kept} == set(given)
    counts = Counter(tuple(path.split("/")[:2]) for path in kept)
    assert [counts[split, "glass"] for split in ("train", "val", "test")] == [24, 3, 3]
    assert [counts[split, "metal"] for split in ("train", "val", "test")] == [16, 2, 2]
    assert (result.found, result.kept, result.refused) == (50, 50, {})
    core = (data / "core.csv").read_text().splitlines()
    assert core == ["path", *sorted(f"data/{path}" for path in kept if path.startswith("test/"))]
    assert not leftovers(tmp_path)


def test_every_refused_file_is_listed_with_one_reason(tmp_path: Path) -> None:
    source, data = make_source(tmp_path / "raw", {"glass": 12, "metal": 12}), tmp_path / "data"
    whole = (source / "glass" / "glass_0.jpg").read_bytes()
    (source / "glass" / "zero.jpg").write_bytes(b"")
    (source / "glass" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (source / "glass" / "text.jpg").write_text("not a picture")
    picture(500).save(source / "metal" / "moving.jpg", "GIF")
    Image.new("RGB", (400, 300)).save(source / "metal" / "huge.png")
    (source / "Thumbs.db").write_bytes(b"x")
    save(source / "metal" / "deep" / "a.jpg", 501)
    (source / "metal" / ".DS_Store").write_bytes(b"x")
    result = run(source, data)
    listed = {row["path"]: row["reason"] for row in rows(data, "quarantine.csv")}
    assert listed == {
        "Thumbs.db": "not in a class folder",
        "glass/cut.jpg": "truncated",
        "glass/text.jpg": "not an image",
        "glass/zero.jpg": "empty",
        "metal/deep/a.jpg": "too deep",
        "metal/huge.png": "too many pixels",
        "metal/moving.jpg": "unsupported format",
    }
    assert result.found == result.kept + len(listed) == 31
    assert sum(result.refused.values()) == len(listed)


def test_only_photographs_that_lie_on_their_side_are_encoded_again(tmp_path: Path) -> None:
    source, data = make_source(tmp_path / "raw", {"glass": 12, "metal": 12}), tmp_path / "data"
    for number, suffix in enumerate((".jpg", ".png", ".webp")):
        save(source / "glass" / f"side{suffix}", 700 + number, orientation=6)
    result = run(source, data)
    assert result.turned == 3
    untouched = [content for path, content in images(data).items() if "side" not in path]
    assert sorted(untouched) == sorted(
        content for path, content in tree(source).items() if "side" not in path
    )
    for path in data.rglob("side*"):
        with Image.open(path) as image, Image.open(source / "glass" / path.name) as given:
            assert image.size == (40, 48)
            assert image.getexif().get(0x0112, 1) == 1
            right = ImageOps.exif_transpose(given).convert("RGB")
            assert np.abs(np.asarray(image.convert("RGB"), float) - right).mean() < 10


def test_duplicates_are_left_out_and_pictures_with_two_labels_too(tmp_path: Path) -> None:
    source, data = make_source(tmp_path / "raw", {"glass": 12, "metal": 12}), tmp_path / "data"
    shutil.copy(source / "glass" / "glass_3.jpg", source / "glass" / "again.jpg")
    shutil.copy(source / "glass" / "glass_4.jpg", source / "metal" / "wrong.jpg")
    result = run(source, data)
    assert (result.exact, result.refused) == (1, {"two labels": 2})
    assert [(row["path"], row["like"], row["split"]) for row in rows(data, "duplicates.csv")] == [
        ("glass/glass_3.jpg", "glass/again.jpg", "")
    ]
    refused = rows(data, "quarantine.csv")
    assert [row["path"] for row in refused] == ["glass/glass_4.jpg", "metal/wrong.jpg"]
    assert refused[0]["detail"].startswith("the same bytes are metal/wrong.jpg")
    contents = list(images(data).values())
    assert len(contents) == len(set(contents)) == 23


@pytest.mark.parametrize("seed", range(4))
def test_pictures_that_look_alike_share_a_split(tmp_path: Path, seed: int) -> None:
    source, data = make_source(tmp_path / "raw", {"glass": 16, "metal": 16}), tmp_path / "data"
    for number in range(6):
        save(source / "glass" / f"near_{number}.jpg", number, quality=75)
    save(source / "metal" / "near_7.jpg", 7, quality=75)
    result = run(source, data, seed=seed)
    for number in range(6):
        same = {split_of(data, f"{name}_{number}.jpg") for name in ("glass", "near")}
        assert len(same) == 1
    assert split_of(data, "glass_7.jpg") == split_of(data, "near_7.jpg")
    assert (result.near, result.near_two_labels, result.crossing) == (7, 1, 0)
    listed = rows(data, "duplicates.csv")
    assert {row["split"] for row in listed} <= {"train", "val", "test"}
    assert [row["label"] for row in listed if row["label"] != row["like_label"]] == ["metal"]


def test_splits_of_the_source_are_kept_and_the_training_copy_goes(tmp_path: Path) -> None:
    raw, data = tmp_path / "raw", tmp_path / "data"
    for first, split in ((0, "train"), (100, "valid"), (200, "test")):
        make_source(raw / split, {"glass": 6, "metal": 6}, first)
    save(raw / "train" / "glass" / "near.jpg", 200, quality=75)
    shutil.copy(raw / "valid" / "metal" / "metal_106.jpg", raw / "train" / "metal" / "same.jpg")
    result = run(raw, data)
    assert (result.kept, result.crossing, result.exact) == (36, 1, 1)
    assert {path.replace("val/", "valid/") for path in images(data)} == {
        path for path in tree(raw) if not path.endswith(("near.jpg", "same.jpg"))
    }
    assert [(row["path"], row["kind"], row["like"]) for row in rows(data, "duplicates.csv")] == [
        ("train/glass/near.jpg", "near", "test/glass/glass_200.jpg"),
        ("train/metal/same.jpg", "exact", "valid/metal/metal_106.jpg"),
    ]


def test_the_same_images_give_the_same_dataset_whatever_they_come_in(tmp_path: Path) -> None:
    source = make_source(tmp_path / "raw", {"glass": 20, "metal": 15})
    files = sorted(path for path in source.rglob("*") if path.is_file())
    random.Random(1).shuffle(files)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        for path in files:
            tar.add(path, f"wrapped/{path.relative_to(source)}")
    run(source, tmp_path / "one" / "data")
    run(tmp_path / "a.tar.gz", tmp_path / "two" / "data")
    run(source, tmp_path / "three" / "data", seed=1)
    one, two, three = (tree(tmp_path / name / "data") for name in ("one", "two", "three"))
    assert one == two
    assert one.keys() != three.keys()
    assert not leftovers(tmp_path)


def test_names_that_fall_together_lose_no_image(tmp_path: Path) -> None:
    source, data = make_source(tmp_path / "raw", {"m\u00e9tal": 10, "glass": 10}), tmp_path / "data"
    for number, name in enumerate(["a b.JPG", "a b.jpg", "A B.jpeg", "\u00fc.png", "u\u0308.png"]):
        save(source / "me\u0301tal" / name, 800 + number)
    save(source / "glass" / "really_a_jpeg.png", 900).write_bytes(
        save(tmp_path / "x.jpg", 900).read_bytes()
    )
    result = run(source, data)
    assert result.kept == 26
    assert result.labels == ["glass", "m\u00e9tal"]
    kept = [path.rpartition("/")[2] for path in images(data) if "tal_" not in path]
    assert {"A B.jpg", "\u00fc.png", "really_a_jpeg.jpg"} <= set(kept)
    assert len({name.casefold() for name in kept}) == len(kept)


def broken_sources(root: Path) -> dict[str, tuple[str, str]]:
    make_source(root / "one", {"glass": 9})
    save(root / "flat" / "a.jpg", 0)
    make_source(root / "few", {"glass": 9, "metal": 2})
    make_source(root / "unusable", {"glass": 9})
    (root / "unusable" / "metal").mkdir()
    (root / "unusable" / "metal" / "a.jpg").write_text("text")
    make_source(root / "halves" / "train", {"glass": 9, "metal": 9})
    make_source(root / "halves" / "test", {"glass": 9, "metal": 9}, first=50)
    (root / "empty").mkdir()
    return {
        "nowhere": ("nowhere", "is missing"),
        "empty": ("empty", "is empty"),
        "flat": ("flat", "no class folders"),
        "one": ("one", "one class only, 'glass'"),
        "few": ("few", "'metal' has 2 usable images, and none for val"),
        "unusable": ("unusable", "'metal' has 0 usable images"),
        "halves": ("halves", "'glass' has 18 usable images, and none for val"),
    }


@pytest.mark.parametrize("name", ["nowhere", "empty", "flat", "one", "few", "unusable", "halves"])
def test_a_source_that_makes_no_dataset_is_refused(tmp_path: Path, name: str) -> None:
    folder, message = broken_sources(tmp_path / "raw")[name]
    with pytest.raises(DataError, match=message):
        run(tmp_path / "raw" / folder, tmp_path / "data")
    assert not (tmp_path / "data").exists()
    assert not leftovers(tmp_path)


def test_a_dataset_is_never_written_over(tmp_path: Path) -> None:
    source, data = make_source(tmp_path / "raw", {"glass": 9, "metal": 9}), tmp_path / "data"
    (data / "train").mkdir(parents=True)
    (data / "train" / "precious.jpg").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"data is not empty.* --add .*move it away"):
        run(source, data)
    assert tree(data) == {"train/precious.jpg": b"mine"}


def test_source_and_dataset_may_not_overlap(tmp_path: Path) -> None:
    source = make_source(tmp_path / "raw", {"glass": 9, "metal": 9})
    for data in (source / "data", source):
        with pytest.raises(DataError, match="overlap"):
            run(source, data)
    assert len(list(source.glob("*/*.jpg"))) == 18


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_full_disk_or_ctrl_c_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    source, data = make_source(tmp_path / "raw", {"glass": 9, "metal": 9}), tmp_path / "data"
    copy, copied = shutil.copyfile, list[Path]()

    def fail_later(here: Path, there: Path) -> None:
        if len(copied) == 5:
            raise error
        copied.append(copy(here, there))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", fail_later)
        with pytest.raises(type(error)):
            run(source, data)
    assert not data.exists()
    assert not leftovers(tmp_path)
    assert run(source, data).kept == 18


def test_two_at_a_time_are_refused(tmp_path: Path) -> None:
    source = make_source(tmp_path / "raw", {"glass": 9, "metal": 9})
    with (
        exclusive(tmp_path / ".sortline" / "ingest.lock", "sortline ingest"),
        pytest.raises(BusyError),
    ):
        run(source, tmp_path / "data")


# A decoder that needs no TensorFlow, so that a process starts in half a second, and a kill at one
# exact call.
_KILLED = """
import hashlib, os, signal, sys, types
from pathlib import Path

checking = types.ModuleType("sortline.dataset.checking")
def check_image(path, *, max_pixels, staging):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return types.SimpleNamespace(
        local=path, sha256=digest, perceptual_hash=digest, format="jpeg", turned=False)
checking.check_image = check_image
sys.modules[checking.__name__] = checking

from sortline.core import files
from sortline.dataset import archives, ingest, layout, sources
owner, name, calls = sys.argv[4], sys.argv[5], int(sys.argv[6])
modules = (files, layout, ingest, sources, archives)
owner = Path if owner == "Path" else {m.__name__.rpartition(".")[2]: m for m in modules}[owner]
kept, seen = getattr(owner, name), []
def deadly(*args, **kwargs):
    seen.append(1)
    if len(seen) == calls:
        os.kill(os.getpid(), signal.SIGKILL)
    return kept(*args, **kwargs)
setattr(owner, name, deadly)
settings = ingest.Settings(seed=0, max_pixels=100000, near_duplicate_bits=0)
ingest.ingest(sys.argv[1], Path(sys.argv[2]), settings, add=sys.argv[3] == "add")
"""


@pytest.mark.parametrize(
    ("owner", "name", "calls", "what"),
    [
        pytest.param("archives", "_unpack_tar_member", 4, "unpacking", marks=pytest.mark.slow),
        pytest.param("ingest", "sort_files", 1, "unpacked", marks=pytest.mark.slow),
        pytest.param("ingest", "link_tree", 1, "nothing built", marks=pytest.mark.slow),
        pytest.param("layout", "_link", 10, "half linked", marks=pytest.mark.slow),
        ("Path", "rename", 3, "half written"),
        pytest.param("files", "_swap", 1, "built", marks=pytest.mark.slow),
        pytest.param("Path", "rename", 18, "before the old one is moved", marks=pytest.mark.slow),
        ("Path", "rename", 19, "between the two renames"),
        ("files", "recover_dir", 2, "exchanged"),
    ],
)
def test_a_kill_leaves_the_dataset_as_it_was_and_the_next_run_works(
    tmp_path: Path, owner: str, name: str, calls: int, what: str
) -> None:
    data = tmp_path / "data"
    run(make_source(tmp_path / "raw", {"glass": 9, "metal": 9}), data)
    before = tree(data)
    make_source(tmp_path / "more", {"glass": 9, "metal": 8}, first=100)
    with tarfile.open(tmp_path / "more.tar", "w") as tar:
        tar.add(tmp_path / "more", "more")
    command = [sys.executable, "-c", _KILLED, tmp_path / "more.tar", data, "add"]
    killed = subprocess.run(
        [*map(str, command), owner, name, str(calls)],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    if what == "between the two renames":
        assert not data.exists()  # For some microseconds; any later ingest brings it back.
        recover_dir(data)
    after = tree(data)
    assert after == before or (what == "exchanged" and len(after) == len(before) + 17)
    again = ingest.ingest(str(tmp_path / "more.tar"), data, SETTINGS, add=True)
    assert again.kept + again.exact == 17
    assert before.items() <= tree(data).items()
    assert len(images(data)) == 35
    assert not leftovers(tmp_path)


def test_the_command_prints_what_happened_and_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_source(tmp_path / "raw", {"glass": 20, "metal [old]": 10})
    (source / "glass" / "zero.jpg").write_bytes(b"")
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    done = CliRunner().invoke(app, ["ingest", "raw"], catch_exceptions=False)
    assert done.exit_code == 0
    for text in ("quarantined: empty", "metal [old]", "24 (80.0%)", "dvc add data", "31"):
        assert text in done.output
    assert "artifacts/ingest/quarantine.csv" in done.output
    again = CliRunner().invoke(app, ["ingest", "--add", "raw"], catch_exceptions=False)
    assert "Nothing new: data is as it was." in again.output


def test_generate_draws_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = generated.subset_counts({"train": 10, "val": 10, "test": 10})
    monkeypatch.setattr(generated, "reference_counts", lambda: few)
    data = tmp_path / "data"
    done = CliRunner().invoke(app, ["generate", "--data", str(data)], catch_exceptions=False)
    assert "30 pictures" in done.output
    assert len(images(data)) == 30


@pytest.mark.slow
def test_real_photographs_are_all_taken_in(tmp_path: Path) -> None:
    source = os.environ.get("SORTLINE_WASTE10")
    if not source:
        pytest.skip("SORTLINE_WASTE10 does not name the folder of real photographs")
    result = run(source, tmp_path / "data", max_pixels=50_000_000)
    assert (result.found, result.kept) == (11_032, 11_032)
    assert len(images(tmp_path / "data")) == 11_032
    console = Console(record=True, width=100)
    print_result(result, console)
    assert "11,032" in console.export_text()
