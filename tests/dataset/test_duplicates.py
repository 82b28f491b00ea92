"""If these fail, the same picture trains and tests a model, and its accuracy is a fiction."""

import os
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from helpers.encoded_pictures import encode, picture
from PIL import Image

from sortline.dataset import duplicates
from sortline.dataset.duplicates import (
    components,
    groups,
    luma,
    luma_hash,
    near_pairs,
    perceptual_hash,
)
from sortline.orchestration.params import load

BITS = load(Path(__file__).parents[2]).validate_.near_duplicate_bits


def hash_of(image: Image.Image) -> str:
    return perceptual_hash(np.asarray(image.convert("RGB")))


def bits_between(left: str, right: str) -> int:
    return (int(left, 16) ^ int(right, 16)).bit_count()


def large(number: int) -> Image.Image:
    return picture(number, (200, 150))


def test_known_hash_stays_what_it_is() -> None:
    # Stored manifests and frozen cores depend on it.
    ramp = np.add.outer(np.arange(90) ** 2 % 251, np.arange(120) * 3 % 256) // 2
    known = perceptual_hash(np.repeat(ramp.astype(np.uint8)[..., None], 3, axis=2))
    assert len(known) == 64
    assert known == "fa5afa51fa50af0750fbae0405ae50fb05adfa53af04af0450fb048550fafb50"


@pytest.mark.parametrize("number", range(8))
def test_copies_are_near(number: int) -> None:
    image = large(number)
    original = hash_of(image)
    copies = {
        "re-encoded": Image.open(BytesIO(encode(image, "JPEG", quality=40))),
        "webp": Image.open(BytesIO(encode(image, "WEBP", quality=50))),
        "half": image.resize((100, 75), Image.Resampling.LANCZOS),
        "stretched to a square": image.resize((96, 96), Image.Resampling.BILINEAR),
        "twice": image.resize((400, 300), Image.Resampling.BICUBIC),
        "grey": image.convert("L"),
    }
    for name, copy in copies.items():
        assert bits_between(original, hash_of(copy)) <= BITS, name


def test_different_pictures_are_far() -> None:
    hashes = [hash_of(large(number)) for number in range(60)]
    assert near_pairs(hashes, BITS) == []
    far = [bits_between(hashes[0], other) for other in hashes[1:]]
    assert 90 < np.mean(far) < 160


def test_near_pairs_are_all_of_them_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_BLOCK_ROWS", 7)
    rng = np.random.default_rng(0)
    base = [int.from_bytes(rng.bytes(32), "big") for _ in range(12)]
    numbers = base + [
        value ^ sum(1 << int(bit) for bit in rng.choice(256, size, replace=False))
        for size, value in zip([0, 1, 5, 31, 32, 33, 40, 64], base, strict=False)
    ]
    hashes = [f"{number:064x}" for number in numbers]
    for bits in (0, 1, 32, 64):
        wanted = [
            (i, j)
            for i in range(len(hashes))
            for j in range(i + 1, len(hashes))
            if bits_between(hashes[i], hashes[j]) <= bits
        ]
        assert near_pairs(hashes, bits) == wanted
        assert wanted


def test_nothing_and_one_have_no_pairs() -> None:
    assert near_pairs([], 10) == []
    assert near_pairs(["0" * 64], 10) == []


def test_twenty_thousand_take_seconds() -> None:
    rng = np.random.default_rng(1)
    hashes = [rng.bytes(32).hex() for _ in range(20_000)]
    start = time.process_time()
    assert near_pairs(hashes, BITS) == []
    assert time.process_time() - start < 15


def test_groups_follow_chains_and_equal_bytes() -> None:
    assert components(6, [(4, 5), (3, 4), (0, 1)]) == [0, 0, 2, 3, 3, 3]
    zero, near, far = "0" * 64, "0" * 63 + "1", "f" * 64
    assert groups(["a", "b", "c", "c"], [zero, near, far, zero], 2) == [0, 0, 0, 0]
    assert groups(["a", "b", "c"], [zero, near, far], 0) == [0, 1, 2]


def test_luma_is_pillows_and_whole_images_are_worked_on() -> None:
    image = picture(3, (70, 600))  # More rows than a band.
    assert np.array_equal(luma(np.asarray(image)), np.asarray(image.convert("L")))


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (63, 65), (300, 2)])
def test_any_shape_has_a_hash(shape: tuple[int, int]) -> None:
    grey = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert len(luma_hash(grey)) == 64
    assert luma_hash(np.zeros(shape, np.uint8)) == "0" * 64


def test_real_near_duplicates() -> None:
    folder = os.environ.get("SORTLINE_WASTE10")
    if not folder:
        pytest.skip("SORTLINE_WASTE10 does not name the folder of real photographs")

    def real(name: str) -> str:
        return hash_of(Image.open(Path(folder) / name.partition("_")[0] / f"{name}.jpg"))

    assert bits_between(real("glass_1365"), real("glass_1457")) <= BITS
    assert bits_between(real("paper_1092"), real("paper_1304")) <= BITS
    assert bits_between(real("glass_763"), real("glass_1513")) > BITS
