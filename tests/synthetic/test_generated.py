"""Without these, a fresh clone would draw another dataset than the one that data.dvc pins."""

import os
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageStat

from sortline.core.errors import DataError
from sortline.core.files import digest_tree
from sortline.dataset.duplicates import luma_hash
from sortline.synthetic import generated
from sortline.synthetic.families import WASTE
from sortline.synthetic.generated import (
    CLASSES,
    draw,
    generate,
    reference_counts,
    split_counts,
    subset_counts,
)
from sortline.synthetic.scene import Draw
from sortline.synthetic.sprite import Sprite

# Of a sample of the reference dataset (seed 42): three pictures a class.
SAMPLE_DIGEST = "260fdee79507b5589550c6b4bbcdf157ad1ea1909330787de0e9360fc68d9524"
SAMPLE = {"train": dict.fromkeys(CLASSES, 2), "test": dict.fromkeys(CLASSES, 1)}

ALL_FAMILIES = [
    pytest.param(family, id=family.__name__) for families in WASTE.values() for family in families
]

DRAW_SAMPLE = """
import hashlib, sys
from pathlib import Path
from random import Random
from sortline.core.files import digest_tree
from sortline.synthetic.families import WASTE
from sortline.synthetic.scene import photograph
from sortline.synthetic.generated import CLASSES, generate

pixels = hashlib.sha256()
for families in WASTE.values():
    for family in families:
        pixels.update(photograph(family, Random(family.__name__)).tobytes())
target = Path(sys.argv[1])
generate(target, seed=42, counts={"val": dict.fromkeys(CLASSES, 3)}, workers=1)
print(pixels.hexdigest(), digest_tree(target))
"""


def dispatched_features() -> list[str]:
    """Of those that this NumPy can choose at run time, the features that this CPU has."""
    umath = import_module("numpy._core._multiarray_umath")
    return [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name]]


def sample_digests(target: Path, **environment: str) -> str:
    command = [sys.executable, "-c", DRAW_SAMPLE, str(target)]
    ran = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return ran.stdout


def test_a_cpu_without_vector_units_draws_the_same_bytes(tmp_path: Path) -> None:
    plain = sample_digests(
        tmp_path / "plain",
        NPY_DISABLE_CPU_FEATURES=" ".join(dispatched_features()),
        JSIMD_FORCENONE="1",
        GLIBC_TUNABLES="glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-FMA",
    )
    assert len(plain.split()) == 2
    assert plain == sample_digests(tmp_path / "vector")


def test_a_changed_generator_is_noticed(tmp_path: Path) -> None:
    generate(tmp_path / "data", seed=generated.REFERENCE_SEED, counts=SAMPLE, workers=1)
    assert digest_tree(tmp_path / "data") == SAMPLE_DIGEST


def test_the_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    counts = {"train": {"glass": 24, "trash": 20}}
    one = generate(tmp_path / "one", seed=3, counts=counts, workers=1)
    two = generate(tmp_path / "two", seed=3, counts=counts, workers=2)
    assert digest_tree(tmp_path / "one") == digest_tree(tmp_path / "two")
    assert one.total_bytes == two.total_bytes
    assert one.images == 44


def test_a_smaller_dataset_is_part_of_a_larger_one(tmp_path: Path) -> None:
    generate(tmp_path / "small", seed=3, counts={"val": {"shoes": 2}}, workers=1)
    generate(tmp_path / "large", seed=3, counts={"val": {"metal": 1, "shoes": 4}}, workers=1)
    small = sorted((tmp_path / "small/val/shoes").iterdir())
    for path in small:
        assert path.read_bytes() == (tmp_path / "large/val/shoes" / path.name).read_bytes()
    assert len(small) == 2


def test_the_seed_and_the_split_change_the_pictures(tmp_path: Path) -> None:
    generate(tmp_path / "a", seed=3, counts={"train": {"paper": 3}, "val": {"paper": 3}}, workers=1)
    generate(tmp_path / "b", seed=4, counts={"train": {"paper": 3}}, workers=1)
    files = [path.read_bytes() for path in tmp_path.rglob("paper_*")]
    assert len(set(files)) == len(files) == 9


def test_the_reference_dataset_has_its_published_size() -> None:
    counts = reference_counts()
    totals = {split: sum(by_class.values()) for split, by_class in counts.items()}
    assert totals == {"train": 15_777, "val": 1_972, "test": 1_974}
    for by_class in counts.values():
        assert max(by_class.values()) / min(by_class.values()) == pytest.approx(4, rel=0.03)
        for name, count in by_class.items():
            share = counts["train"][name] / totals["train"]
            assert abs(count - share * sum(by_class.values())) < 1


@pytest.mark.parametrize("total", [0, 3, 10, 11, 17, 40, 121, 1_000])
def test_counts_add_up_and_leave_no_class_out(total: int) -> None:
    counts = subset_counts({"val": total})["val"]
    assert sum(counts.values()) == total
    assert min(counts.values()) >= (1 if total >= 10 else 0)
    assert counts == split_counts(total)


def test_a_folder_with_anything_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.jpg").write_bytes(b"irreplaceable")
    with pytest.raises(DataError, match="not empty"):
        generate(tmp_path, seed=1, counts={"train": {"glass": 1}}, workers=1)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"irreplaceable"]


def test_what_a_killed_run_left_does_not_get_in(tmp_path: Path) -> None:
    left = tmp_path / ".data.partial" / "train" / "glass"
    left.mkdir(parents=True)
    (left / "glass_09999.jpg").write_bytes(b"half")
    generate(tmp_path / "data", seed=1, counts={"train": {"glass": 1}}, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert len(list((tmp_path / "data/train/glass").iterdir())) == 1


def test_a_failed_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        generate(tmp_path / "data", seed=1, counts={"train": {"glass": 1}}, workers=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "counts", [{"training": {"glass": 1}}, {"train": {"wood": 1}}, {"train": {"glass": 60_000}}]
)
def test_counts_that_cannot_be_drawn_are_refused(
    tmp_path: Path, counts: dict[str, dict[str, int]]
) -> None:
    with pytest.raises(DataError, match=r"Use|Ask"):
        generate(tmp_path / "data", seed=1, counts=counts, workers=1)


def test_files_are_what_their_names_say(tmp_path: Path) -> None:
    generate(tmp_path, seed=42, counts={"train": {"battery": 90}}, workers=1)
    formats = Counter[str]()
    for path in (tmp_path / "train/battery").iterdir():
        with Image.open(path) as image:
            formats[f"{path.suffix} {image.format} {image.mode}"] += 1
            assert all(128 <= side <= 160 for side in image.size)
    assert set(formats) == {".jpg JPEG RGB", ".png PNG RGB"}
    assert formats[".jpg JPEG RGB"] > 80


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_every_family_draws_an_object_that_varies(family: Draw) -> None:
    pictures = []
    for seed in range(3):
        sprite = Sprite()
        family(sprite, Random(seed))
        covered = ImageStat.Stat(sprite.alpha.point([0] + [1] * 255)).mean[0]
        assert 0.02 < covered < 0.9
        pictures.append(sprite.picture().tobytes())
    assert len(set(pictures)) == 3


def test_no_two_pictures_look_the_same() -> None:
    hashes = [
        int(luma_hash(np.asarray(draw(42, "battery", index).convert("L"))), 16)
        for index in range(1, 60)
    ]
    distances = [(a ^ b).bit_count() for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(distances) > 32


def test_colour_does_not_give_the_class_away() -> None:
    means = np.array(
        [[ImageStat.Stat(draw(42, name, index)).mean for index in range(1, 17)] for name in CLASSES]
    )
    right = 0
    for label, row in np.ndindex(means.shape[:2]):
        kept = np.delete(means[label], row, axis=0).mean(axis=0)
        centres = means.mean(axis=1)
        centres[label] = kept
        right += int(np.linalg.norm(centres - means[label, row], axis=1).argmin()) == label
    assert right / means[..., 0].size < 0.3
