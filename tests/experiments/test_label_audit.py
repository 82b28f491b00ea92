"""A wrong label that nobody is shown is learnt; a right one that is called wrong costs a look."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image

from sortline.core.errors import DataError, WeightsError
from sortline.core.files import read_json, sha256_file
from sortline.core.params import overlay, read_yaml
from sortline.core.paths import Paths
from sortline.dataset.duplicates import perceptual_hash
from sortline.experiments.label_audit import (
    COLUMNS,
    FOLDER,
    audit,
    find_suspects,
    out_of_fold,
    suspect_table,
    twins,
)
from sortline.images.decode import decode_file
from sortline.orchestration.params import Params, check
from sortline.reporting.report import gather
from sortline.synthetic.generated import generate

ROOT = Path(__file__).parents[2]
NAMES = ["glass", "metal", "paper"]
IMAGES, WRONG = 240, 18


def settings(**changes: Any) -> Params:
    """Those of the repository, for a dozen features instead of a thousand."""
    few = {"label_audit": {"inverse_regularisation": 1.0}}
    return check(overlay(overlay(read_yaml(ROOT / "params.yaml"), few), changes))


def noisy() -> tuple[pd.DataFrame, npt.NDArray[np.float32], set[str]]:
    """Three clouds of features, a few images of which carry the label of another cloud."""
    rng = np.random.default_rng(5)
    true = np.arange(IMAGES) % len(NAMES)
    features = rng.normal(size=(IMAGES, 12)).astype(np.float32)
    features[np.arange(IMAGES), true] += 6.0
    given, wrong = true.copy(), rng.choice(IMAGES, WRONG, replace=False)
    given[wrong] = (given[wrong] + 1) % len(NAMES)
    paths = [f"data/train/{NAMES[label]}/{row}.jpg" for row, label in enumerate(given)]
    hashes = [rng.bytes(32).hex() for _ in range(IMAGES)]
    manifest = pd.DataFrame(
        {
            "path": paths,
            "label": [NAMES[label] for label in given],
            "sha256": [f"{row:064x}" for row in range(IMAGES)],
            "perceptual_hash": hashes,
        }
    )
    return manifest, features, {paths[row] for row in wrong}


def test_labels_made_wrong_are_found_and_few_others() -> None:
    manifest, features, wrong = noisy()
    found, names = find_suspects(manifest, features, settings())
    table = suspect_table(found.suspects, manifest, names)
    listed = set(table["path"])
    assert len(wrong & listed) >= 0.85 * WRONG
    assert len(listed - wrong) <= 0.2 * WRONG
    given = zip(table["path"].tolist(), table["given"].tolist(), strict=True)
    true = {path: NAMES[(NAMES.index(name) - 1) % 3] for path, name in given}
    hits = table[table["path"].isin(wrong)]
    assert (hits["suggested"] == hits["path"].map(true)).mean() > 0.9
    assert table["given_probability"].is_monotonic_increasing
    assert found.by == {"classifier": len(listed)}


def test_a_copy_with_another_label_is_found_though_the_classifier_is_sure() -> None:
    manifest, features, _ = noisy()
    clean = [row for row in range(IMAGES) if manifest["label"][row] == NAMES[row % 3]]
    one = next(row for row in clean if row % 3 == 0)
    other = next(row for row in clean if row % 3 == 1)
    manifest.loc[other, "perceptual_hash"] = manifest["perceptual_hash"][one]
    found, names = find_suspects(manifest, features, settings())
    table = suspect_table(found.suspects, manifest, names).set_index("path")
    pair = manifest["path"][one], manifest["path"][other]
    assert list(table.loc[list(pair), "twin"]) == [pair[1], pair[0]]
    assert set(table.loc[list(pair), "found_by"]) == {"duplicate"}
    assert table.loc[pair[0], "suggested"] == NAMES[1]


def test_no_image_is_judged_by_a_copy_of_itself() -> None:
    """Copies in pairs with a random label: only a classifier that saw the twin would be right."""
    rng = np.random.default_rng(1)
    once = rng.normal(size=(100, 40)).astype(np.float32)
    labels = np.repeat(rng.integers(0, 2, 100), 2)
    features, groups = np.repeat(once, 2, axis=0), np.repeat(np.arange(100), 2).tolist()
    chosen = settings(label_audit={"inverse_regularisation": 100.0}).label_audit
    apart = out_of_fold(features, labels, groups, chosen, 0)
    seen = out_of_fold(features, labels, list(range(200)), chosen, 0)
    assert (apart.argmax(1) == labels).mean() < 0.65
    assert (seen.argmax(1) == labels).mean() > 0.75
    np.testing.assert_allclose(apart.sum(1), 1.0)


def test_a_class_of_one_image_is_refused_with_the_reason() -> None:
    features = np.eye(5, dtype=np.float32)
    with pytest.raises(DataError, match="fewer than two images"):
        out_of_fold(features, np.array([0, 0, 1, 1, 2]), range(5), settings().label_audit, 0)


def test_twins_are_those_whose_labels_differ() -> None:
    assert twins([0, 1, 0, 2], [7, 7, 7, 3]) == {0: 1, 1: 0, 2: 1}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few drawn images with a manifest, one of them under a second label too."""
    root = tmp_path_factory.mktemp("labels")
    generate(root / "data", seed=3, counts={"train": {"glass": 5, "shoes": 5}}, workers=1)
    shoe = next((root / "data/train/shoes").iterdir())
    Image.open(shoe).save(root / "data/train/glass/copy.jpg", quality=70)
    rows = []
    for path in sorted((root / "data").rglob("*.*g")):
        pixels = np.asarray(decode_file(path, max_pixels=10**6))
        rows.append(
            {
                "path": path.relative_to(root).as_posix(),
                "split": "train",
                "label": path.parent.name,
                "sha256": sha256_file(path),
                "perceptual_hash": perceptual_hash(pixels),
            }
        )
    (root / "artifacts").mkdir()
    pd.DataFrame(rows).to_parquet(root / "artifacts/manifest.parquet")
    return root


DEMO = {"alpha": 0.35, "image_size_px": 96, "weights": "demo"}


def test_an_audit_leaves_a_list_a_sheet_and_a_place_in_the_report(dataset: Path) -> None:
    found = audit(settings(backbone=DEMO, features={"engine": "keras"}), Paths(dataset))
    table = pd.read_csv(dataset / FOLDER / "suspects.csv", keep_default_na=False)
    assert tuple(table.columns) == COLUMNS
    assert len(table) == len(found.suspects) >= 2
    assert "data/train/glass/copy.jpg" in set(table["path"])
    assert (table["decision"] == "").all()
    with Image.open(dataset / FOLDER / "sheet.png") as sheet:
        assert sheet.width > 800
    facts = read_json(dataset / FOLDER / "audit.json", "sortline labels audit")
    assert facts["images"] == 11
    shown = gather(dataset)
    assert shown["labels"].value["suspects"] == len(table)
    assert shown["pictures"]["suspects"].value is not None


def test_features_of_random_weights_are_not_asked_about_labels(dataset: Path) -> None:
    with pytest.raises(WeightsError, match="say nothing about labels"):
        audit(settings(backbone={**DEMO, "weights": None}), Paths(dataset))
