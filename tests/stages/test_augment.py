"""A plan that changes behind the user's back makes every cached feature, and the result, stale."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.params import Params, parse_params
from PIL import Image

from pipeline_steps import augment
from sortline.core.errors import ArtifactError, DataError, ImageError, ParamsError
from sortline.core.params import overlay, read_yaml
from sortline.core.paths import Paths
from sortline.images.draws import uniforms
from sortline.images.view_plan import MAX_BOOST, SCHEMA, plan_views, views_per_image
from sortline.images.views import FIELDS, draw

REPOSITORY = Path(__file__).parents[2]
SETTINGS = read_yaml(REPOSITORY / "params.yaml")


def params(seed: int = 0, **changes: Any) -> Params:
    changed = {"seed": seed, "augment": {"views": 3, "preview_images": 3, **changes}}
    return parse_params(overlay(SETTINGS, changed))


def frame(names: list[str], label: str = "glass") -> pd.DataFrame:
    return pd.DataFrame({"sha256": [name * 8 for name in names], "label": label})


def planned(names: list[str], seed: int = 0, **changes: Any) -> pd.DataFrame:
    settings = params(seed, **changes).augment
    plan: pd.DataFrame = plan_views(frame(names), settings, seed).to_pandas()
    return plan


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A workspace of six pictures of two classes, one of them not for training."""
    rows = []
    for index, (split, label) in enumerate(
        [("train", "glass")] * 3 + [("train", "metal")] * 2 + [("val", "glass")]
    ):
        path = tmp_path / "data" / split / label / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 255, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        rows.append((path.relative_to(tmp_path).as_posix(), split, label, f"{index:064x}"))
    (tmp_path / "artifacts").mkdir()
    columns = ["path", "split", "label", "sha256"]
    pd.DataFrame(rows, columns=columns).to_parquet(tmp_path / "artifacts" / "manifest.parquet")
    return Paths(tmp_path)


def test_the_plan_has_the_columns_that_views_are_drawn_from() -> None:
    assert tuple(SCHEMA.names) == ("sha256", "label", "view", "seed", *FIELDS)


def test_images_added_later_leave_all_other_views_as_they_were() -> None:
    before, after = planned(["a", "c"]), planned(["d", "c", "b", "a"])
    kept = after[after["sha256"].isin(before["sha256"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before)
    assert len(after) == 12


def test_more_views_leave_the_first_ones_as_they_were() -> None:
    more = planned(["a"], views=5)
    pd.testing.assert_frame_equal(more.head(3), planned(["a"], views=3))


def test_another_seed_draws_other_views() -> None:
    assert not (planned(["a"])["seed"].isin(planned(["a"], seed=1)["seed"])).any()


def test_a_changed_range_leaves_the_other_draws_as_they_were() -> None:
    old, new = planned(["a", "b"]), planned(["a", "b"], brightness=0.0, flip_horizontal=False)
    assert (new["brightness"] == 0).all()
    assert (new["flip"] == 0).all()
    rest = [name for name in old if name not in ("brightness", "flip")]
    pd.testing.assert_frame_equal(new[rest], old[rest])


def test_the_generator_is_the_published_one() -> None:
    """First outputs of SplitMix64 for seed 0, as its authors' C code prints them."""
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    drawn = uniforms(np.array([0]), 3)[:, 0]
    assert drawn.tolist() == [(value >> 11) / 2**53 for value in published]


def test_a_plan_is_the_same_on_every_machine() -> None:
    row = planned(["a"]).iloc[0]
    assert int(row["seed"]) == 8286746662257720272
    assert row[list(FIELDS)].map(float).map(float.hex).tolist() == GOLDEN


GOLDEN = [
    "0x0.0p+0",
    "0x1.e1bbaa0000000p-7",
    "0x0.0p+0",
    "0x1.cd82ca0000000p-1",
    "0x1.0000000000000p+0",
    "0x1.42d7a80000000p+0",
    "0x0.0p+0",
    "0x0.0p+0",
    "-0x1.e4cd760000000p-6",
    "0x1.0478b40000000p+0",
    "0x1.f3d2720000000p-1",
]


def test_views_stay_within_the_settings() -> None:
    seeds = np.arange(20_000, dtype=np.int64)
    settings = params(translation=0.1).augment
    drawn = draw(seeds, settings)
    area = drawn["crop_h"] * drawn["crop_w"]
    assert area.min() >= settings.crop_min_area - 1e-9
    assert area.mean() == pytest.approx((1 + settings.crop_min_area) / 2, abs=0.01)
    for place, size in (("crop_y", "crop_h"), ("crop_x", "crop_w")):
        assert drawn[place].min() >= 0
        assert (drawn[place] + drawn[size]).max() <= 1 + 1e-9
    shape = drawn["crop_w"] / drawn["crop_h"]
    assert shape.min() >= 3 / 4 - 1e-9
    assert shape.max() <= 4 / 3 + 1e-9
    assert drawn["flip"].mean() == pytest.approx(0.5, abs=0.02)
    for name, centre, reach in (
        *(("rotation_deg", 0, settings.rotation_deg), ("brightness", 0, settings.brightness)),
        *(("contrast", 1, settings.contrast), ("saturation", 1, settings.saturation)),
        *(("shift_y", 0, 0.1), ("shift_x", 0, 0.1)),
    ):
        assert np.abs(drawn[name] - centre).max() <= reach
        assert drawn[name].std() == pytest.approx(reach / 3**0.5, rel=0.05)


def test_ranges_of_nothing_draw_the_plain_image_or_its_mirror() -> None:
    ranges = ("rotation_deg", "brightness", "contrast", "saturation")
    nothing: dict[str, Any] = dict.fromkeys(ranges, 0.0)
    rows = planned(["a", "b"], crop_min_area=1.0, flip_horizontal=False, **nothing)
    assert (rows[list(FIELDS)] == [0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1]).all().all()


def test_balance_brings_rare_classes_near_the_largest() -> None:
    sizes = {"many": 1000, "half": 500, "third": 333, "few": 250}
    views = views_per_image(sizes, params(views=4, balance=True).augment)
    totals = {label: sizes[label] * (1 + count) for label, count in views.items()}
    assert views["many"] == 4
    assert all(total == pytest.approx(5000, rel=0.02) for total in totals.values())


def test_balance_does_not_repeat_a_handful_of_images_for_ever() -> None:
    sizes = {"many": 5000, "seven": 7}
    views = views_per_image(sizes, params(views=4, balance=True).augment)
    assert 1 + views["seven"] == MAX_BOOST * (1 + views["many"])


def test_without_balance_all_classes_get_the_same() -> None:
    views = views_per_image({"many": 5000, "seven": 7}, params(views=4).augment)
    assert views == {"many": 4, "seven": 4}


def test_balance_without_views_is_refused_because_it_would_be_ignored() -> None:
    with pytest.raises(ParamsError, match="balance is ignored when views is 0"):
        params(views=0, balance=True)


def test_the_same_picture_twice_gets_one_set_of_views() -> None:
    assert len(planned(["a", "a", "b"])) == 6


def test_a_full_size_plan_takes_seconds() -> None:
    names = pd.DataFrame({"sha256": [f"{i:064x}" for i in range(15_777)], "label": "glass"})
    plan = plan_views(names, params(views=4).augment, 0)
    assert plan.num_rows == 63_108
    assert len(set(plan["seed"].to_pylist())) == 63_108


def test_the_preview_shows_every_class_before_any_twice() -> None:
    train = pd.concat([frame(list("abcdef")), frame(["g"], "metal"), frame(["h"], "paper")])
    shown = augment.preview_images(train, 4)["label"].tolist()
    assert shown == ["glass", "glass", "metal", "paper"]


def test_run_twice_writes_the_same_bytes(paths: Paths) -> None:
    result = augment.run(params(balance=True), paths)
    first = [path.read_bytes() for path in (paths.views, result.preview)]
    augment.run(params(balance=True), paths)
    assert [path.read_bytes() for path in (paths.views, result.preview)] == first
    views = pd.read_parquet(paths.views)
    assert views.groupby("label").size().to_dict() == {"glass": 9, "metal": 10}
    assert result.views_per_image == {"glass": 3, "metal": 5}
    assert result.views == 19
    assert not list(paths.root.rglob("*.partial"))


def test_no_views_is_an_empty_plan_and_a_sheet_of_originals(paths: Paths) -> None:
    result = augment.run(params(views=0), paths)
    views = pd.read_parquet(paths.views)
    assert list(views) == SCHEMA.names
    assert views.empty
    assert result.views == 0
    with Image.open(result.preview) as sheet:
        assert sheet.size[0] > 500


def test_a_missing_manifest_names_the_step_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="dvc repro validate"):
        augment.run(params(), Paths(tmp_path))


def test_no_training_images_is_refused_before_anything_is_written(paths: Paths) -> None:
    rows = pd.read_parquet(paths.manifest)
    rows.assign(split="test").to_parquet(paths.manifest)
    with pytest.raises(DataError, match="no images of the split train"):
        augment.run(params(), paths)
    assert not paths.views.exists()


def test_an_image_broken_since_validation_is_named_and_nothing_is_written(paths: Paths) -> None:
    broken = paths.data / "train" / "glass" / "0.png"
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(ImageError, match=r"glass/0\.png"):
        augment.run(params(), paths)
    assert not paths.views.exists()
    assert not paths.reports.exists() or not list(paths.reports.rglob("*.png*"))
