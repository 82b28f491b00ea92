"""If these fail, a model learns from leaking, broken or missing data, and its report looks fine."""

import csv
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.encoded_pictures import animated, claiming_jpeg, encode, exif, grey_16_bits, picture
from helpers.params import Params, parse_params

from pipeline_steps.validate import Validation, run
from sortline.core.errors import ArtifactError, DataError, ValidationError
from sortline.core.params import overlay, read_yaml
from sortline.core.paths import Paths
from sortline.dataset.manifest import read_measured, write_measured
from sortline.images.decode import decode_bytes

ROOT = Path(__file__).parents[2]
SPLITS = {"train": 4, "val": 2, "test": 3}
CLASSES = ("glass", "metal", "Paper bag ü")
IMAGES = len(CLASSES) * sum(SPLITS.values())


def params(**changes: Any) -> Params:
    return parse_params(overlay(read_yaml(ROOT / "params.yaml"), {"validate": changes}))


def fill(root: Path) -> Paths:
    """A dataset of three classes, in which nothing is wrong."""
    number = 0
    for split, count in SPLITS.items():
        for label in CLASSES:
            folder = root / "data" / split / label
            folder.mkdir(parents=True)
            for index in range(count):
                (folder / f"{index}.jpg").write_bytes(encode(picture(number), "JPEG"))
                number += 1
    return Paths(root)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return fill(tmp_path)


def failures(paths: Paths) -> list[dict[str, str]]:
    with (paths.reports / "validation" / "failures.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def refusal(paths: Paths, **changes: Any) -> tuple[str, set[tuple[str, str]]]:
    """The message of a refused dataset, and (check, path) of every error in the CSV."""
    with pytest.raises(ValidationError) as caught:
        run(params(**changes), paths)
    assert not paths.manifest.exists()
    assert json.loads((paths.reports / "validation.json").read_text())["failed_errors"]
    listed = failures(paths)
    return str(caught.value), {
        (row["check"], row["path"]) for row in listed if row["severity"] == "error"
    }


def warned(result: Validation) -> set[str]:
    return {one.check for one in result.outcomes if not one.passed}


def put(paths: Paths, where: str, data: bytes) -> str:
    file = paths.data / where
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return f"data/{where}"


def test_a_sound_dataset_is_accepted(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: calls.append(address))
    result = run(params(expected_counts={"train": 12, "val": 6, "test": 9}), paths)
    assert not warned(result)
    assert not calls, "statistics were sent"
    frame = pd.read_parquet(paths.manifest)
    assert list(frame.columns) == [
        *("path", "split", "label", "sha256", "perceptual_hash", "width", "height", "mode"),
        *("orientation", "bytes", "brightness", "sharpness", "core"),
    ]
    assert len(frame) == IMAGES
    assert list(frame["path"]) == sorted(frame["path"])
    assert set(frame["label"]) == set(CLASSES)
    assert frame.loc[frame["split"] == "test", "core"].all()
    assert frame["core"].sum() == 9
    first = frame.iloc[0]
    assert (paths.root / first["path"]).stat().st_size == first["bytes"]
    assert 0 < first["brightness"] < 255
    assert first["sharpness"] > 0
    summary = json.loads((paths.reports / "validation.json").read_text())
    assert (summary["images"], summary["train"], summary["classes"]) == (IMAGES, 12, 3)
    assert summary["failed_errors"] == summary["near_duplicates"] == 0
    assert failures(paths) == []


def test_data_docs_open_without_a_network(paths: Paths) -> None:
    run(params(), paths)
    (page,) = (paths.reports / "validation" / "data_docs").iterdir()
    text = page.read_text(encoding="utf-8")
    assert "http" not in text
    assert "<script" not in text
    assert "leakage, near duplicates" in text
    assert "expect_column_values_to_be_in_set" in text  # As Great Expectations calls it.
    for table in ("images", "folders"):
        assert f"Table {table}, as Great Expectations found it" in text


def test_data_docs_show_examples_of_what_fails(paths: Paths) -> None:
    with pytest.raises(ValidationError):
        run(params(max_side_px=8), paths)
    text = (paths.reports / "validation" / "data_docs" / "index.html").read_text(encoding="utf-8")
    assert "rows unexpected" in text
    assert "<li>data/test/glass/0.jpg: 60</li>" in text


def test_the_same_data_gives_the_same_bytes(paths: Paths) -> None:
    run(params(), paths)
    first = paths.manifest.read_bytes(), (paths.reports / "validation.json").read_bytes()
    run(params(), paths)
    assert (paths.manifest.read_bytes(), (paths.reports / "validation.json").read_bytes()) == first


def test_only_new_images_are_decoded(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []

    def counting(data: bytes, *, max_pixels: int, path: str) -> Any:
        decoded.append(path)
        return decode_bytes(data, max_pixels=max_pixels, path=path)

    def decoded_by(settings: Params) -> int:
        decoded.clear()
        run(settings, paths)
        return len(decoded)

    monkeypatch.setattr("sortline.dataset.manifest.decode_bytes", counting)
    settings = params(severity={"near_duplicates": "warning"})
    assert decoded_by(settings) == IMAGES
    first = pd.read_parquet(paths.manifest)
    assert decoded_by(settings) == 0
    pd.testing.assert_frame_equal(pd.read_parquet(paths.manifest), first)
    new = put(paths, "train/glass/new.jpg", encode(picture(1000), "JPEG"))
    assert decoded_by(settings) == 1
    assert decoded == [new]
    other_cap = settings.images.model_copy(update={"max_pixels": 1_000_000})
    assert decoded_by(settings.model_copy(update={"images": other_cap})) == IMAGES + 1


def test_a_damaged_record_of_measurements_is_not_believed(tmp_path: Path) -> None:
    """A flipped bit in a stored value has to be noticed: the file still reads well otherwise."""
    file = tmp_path / "measured.parquet"
    write_measured(file, [{"sha256": f"{index:064x}", "mode": "RGBA"} for index in range(3)])
    assert len(read_measured(file)) == 3
    content = file.read_bytes()
    noticed = 0
    for place in range(len(content)):
        if content[place : place + 4] == b"RGBA":
            file.write_bytes(content[:place] + b"RGBB" + content[place + 4 :])
            assert "RGBB" not in {row["mode"] for row in read_measured(file).values()}
            noticed += not read_measured(file)
    assert noticed


def test_leaks_duplicates_and_two_labels_are_refused(paths: Paths) -> None:
    original = (paths.data / "train/glass/0.jpg").read_bytes()
    copy = put(paths, "test/glass/copy.jpg", original)
    half = picture(1).resize((30, 20))  # Of train/glass/1.jpg.
    like = put(paths, "val/glass/like.png", encode(half, "PNG"))
    other = put(paths, "train/metal/same.jpg", (paths.data / "train/metal/1.jpg").read_bytes())
    label = put(paths, "train/metal/glass.jpg", original)
    message, listed = refusal(paths, max_near_duplicate_share=0.0)
    bytes_leak, near_leak = "leakage, same bytes", "leakage, near duplicates"
    assert {(bytes_leak, copy), (bytes_leak, "data/train/glass/0.jpg")} <= listed
    assert {(near_leak, like), (near_leak, "data/train/glass/1.jpg")} <= listed
    assert (bytes_leak, like) not in listed
    assert {path for check, path in listed if check == "two labels"} == {
        *("data/train/glass/0.jpg", copy, label),
    }
    assert not {path for _, path in listed} & {other, "data/train/metal/1.jpg"}
    assert f"{copy}: data/train/" in message
    warnings = [row["path"] for row in failures(paths) if row["severity"] == "warning"]
    assert len(warnings) == 4  # One of each group is the original.
    summary = json.loads((paths.reports / "validation.json").read_text())
    assert summary["near_duplicates"] == 4


def test_severities_are_params(paths: Paths) -> None:
    put(paths, "test/glass/copy.jpg", (paths.data / "train/glass/0.jpg").read_bytes())
    result = run(params(severity={"leakage": "warning"}), paths)
    assert warned(result) == {"leakage, same bytes", "leakage, near duplicates"}
    assert paths.manifest.exists()


def test_a_refusal_takes_the_old_manifest_away(paths: Paths) -> None:
    run(params(), paths)
    put(paths, "test/glass/copy.jpg", (paths.data / "train/glass/0.jpg").read_bytes())
    refusal(paths)
    assert not list(paths.root.rglob("*.partial"))


def test_counts_and_classes(paths: Paths) -> None:
    for file in (paths.data / "val/metal").iterdir():
        file.unlink()
    (paths.data / "test/glass/2.jpg").unlink()
    (paths.data / "test/glass/1.jpg").unlink()
    message, listed = refusal(paths, expected_counts={"train": 12, "val": 6, "test": 7})
    assert listed == {
        ("classes", "data/val/metal"),
        ("min images", "data/val/metal"),
        ("min images", "data/test/glass"),
        ("counts", "data/val"),
    }
    assert "data/val: 4, 6" in message


def test_one_class_is_refused(tmp_path: Path) -> None:
    paths = fill(tmp_path)
    for split in SPLITS:
        for label in CLASSES[1:]:
            (paths.data / split / label).rename(tmp_path / f"{split} {label}")
    message, listed = refusal(paths)
    assert listed == {("two classes", "data")}
    assert "at least two classes" in message


def test_size_mode_and_orientation(paths: Paths) -> None:
    narrow = put(paths, "train/glass/narrow.png", encode(picture(90, (15, 40)), "PNG"))
    wide = put(paths, "train/glass/wide.png", encode(picture(91, (201, 40)), "PNG"))
    deep = put(paths, "train/glass/deep.png", encode(grey_16_bits(), "PNG"))
    turned = put(paths, "train/glass/t.jpg", encode(picture(92), "JPEG", exif=exif(6)))
    _, listed = refusal(paths, max_side_px=200)
    # The 16-bit picture is the grey twin of another one.
    assert {one for one in listed if "leak" not in one[0]} == {
        ("size, short side", narrow),
        ("size, long side", wide),
        ("mode", deep),
    }
    rows = {row["path"] for row in failures(paths) if row["check"] == "orientation"}
    assert rows == {turned}


def test_cmyk_and_palettes_are_welcome(paths: Paths) -> None:
    put(paths, "train/glass/p.png", encode(picture(90).quantize(32), "PNG"))
    put(paths, "train/glass/c.jpg", encode(picture(91).convert("CMYK"), "JPEG"))
    assert not warned(run(params(), paths))
    assert {"P", "CMYK"} <= set(pd.read_parquet(paths.manifest)["mode"])


def test_outliers_are_warned_of(paths: Paths) -> None:
    dark = put(paths, "train/glass/dark.png", encode(picture(90).point(lambda v: v // 8), "PNG"))
    blurred = picture(91).resize((3, 2)).resize((60, 40))
    put(paths, "train/glass/blurred.png", encode(blurred, "PNG"))
    result = run(params(outlier_sigmas=4.0, max_outlier_share=0.0), paths)
    assert warned(result) == {"brightness", "sharpness"}
    assert [row["path"] for row in failures(paths) if row["check"] == "brightness"] == [dark]


def write_champion(paths: Paths, counts: dict[str, int]) -> None:
    contract = paths.champion / "saved_model" / "assets.extra" / "contract.json"
    contract.parent.mkdir(parents=True)
    contract.write_text(json.dumps({"train_class_counts": counts}))


def test_drift_is_measured_against_the_champion(paths: Paths) -> None:
    write_champion(paths, {"glass": 10, "metal": 10, "wood": 80})
    result = run(params(), paths)
    drift = next(one for one in result.outcomes if one.check == "class drift")
    assert not drift.passed
    assert [one.path for one in drift.failures] == [
        f"data/train/{label}" for label in ("Paper bag ü", "glass", "metal", "wood")
    ]
    assert not any("drift" in note for note in result.skipped)


def test_without_a_champion_drift_is_skipped_and_said_so(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.champion.mkdir()
    (paths.champion / "none.json").write_text("{}")
    result = run(params(), paths)
    assert any(note.startswith("class drift") for note in result.skipped)
    assert "skipped: class drift" in capsys.readouterr().out


def test_an_unreadable_champion_is_no_champion_lost(paths: Paths) -> None:
    write_champion(paths, {"glass": 1})
    next(paths.champion.rglob("contract.json")).write_text("{")
    with pytest.raises(ArtifactError, match="is not JSON"):
        run(params(), paths)


def test_files_that_do_not_decode_are_all_named(paths: Paths) -> None:
    run(params(), paths)
    good = encode(picture(99), "JPEG")
    bad = {
        "train/glass/empty.jpg": (b"", "empty"),
        "train/glass/cut.jpg": (good[: len(good) // 2], "truncated"),
        "train/metal/text.PNG": (b"hello", "not an image"),
        "val/metal/gif.jpg": (encode(picture(98), "GIF"), "unsupported format"),
        "val/metal/moves.png": (animated("PNG"), "animated"),
        "test/metal/bomb.jpg": (claiming_jpeg(6000, 4000), "truncated"),
    }
    for where, (data, _) in bad.items():
        put(paths, where, data)
    for number in range(6):
        put(paths, f"train/glass/{number}.webp", b"RIFF")
    with pytest.raises(DataError, match="sortline ingest SRC") as caught:
        run(params(), paths)
    listed = {row["path"]: row["seen"] for row in failures(paths)}
    assert len(listed) == 12
    for where, (_, reason) in bad.items():
        assert listed[f"data/{where}"].startswith(reason)
    assert str(caught.value).count("    data/") == 10
    assert "... and 2 more" in str(caught.value)
    assert not paths.manifest.exists()


@pytest.mark.parametrize("missing", ["data", "data/val", "data/val/*"])
def test_missing_data_says_what_to_run(paths: Paths, missing: str) -> None:
    if missing.endswith("*"):
        for file in paths.data.glob("val/*/*"):
            file.unlink()
    else:
        (paths.root / missing).rename(paths.root / "elsewhere")
    with pytest.raises(DataError, match=r"dvc pull.*sortline generate.*sortline ingest"):
        run(params(), paths)


def test_strays_are_named_and_hidden_files_ignored(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    for where in ("train/.DS_Store", "train/glass/.hidden.jpg", "train/.cache/a.jpg", "notes.md"):
        put(paths, where, b"x")
    strays = {
        put(paths, "train/loose.jpg", b"x"),
        put(paths, "train/glass/notes.txt", b"x"),
        put(paths, "train/glass/old/a.jpg", b"x").rpartition("/")[0],
        put(paths, "validation/glass/a.jpg", b"x").rpartition("/glass")[0],
    }
    assert warned(run(params(), paths)) == {"strays"}
    assert {row["path"] for row in failures(paths)} == strays
    assert "data/train/loose.jpg" in capsys.readouterr().out
    assert len(pd.read_parquet(paths.manifest)) == IMAGES


def test_class_folders_may_be_links(paths: Paths) -> None:
    folder = paths.data / "train" / "glass"
    folder.rename(paths.root / "elsewhere")
    folder.symlink_to(paths.root / "elsewhere")
    run(params(), paths)
    assert len(pd.read_parquet(paths.manifest)) == IMAGES


def write_core(paths: Paths, *names: str) -> None:
    pd.DataFrame({"path": names}).to_csv(paths.data / "core.csv", index=False)


def test_the_frozen_core_is_marked(paths: Paths) -> None:
    core = ("data/test/glass/0.jpg", "data/test/metal/1.jpg")
    write_core(paths, *core)
    run(params(), paths)
    frame = pd.read_parquet(paths.manifest)
    assert tuple(frame.loc[frame["core"], "path"]) == core


def test_a_core_that_lost_images_is_refused(paths: Paths) -> None:
    write_core(paths, "data/test/glass/0.jpg", "data/test/glass/gone.jpg")
    with pytest.raises(DataError, match=r"gone\.jpg"):
        run(params(), paths)


def test_as_a_command_it_ends_with_one_message_and_2(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "pipeline_steps.validate"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("sortline: ")
    assert "sortline generate" in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
