"""If these fail, a stranger's file crashes the client, or good photographs are turned away."""

import hashlib
import random

import pytest
from helpers.encoded_pictures import (
    HEIGHT,
    WIDTH,
    accepted,
    animated,
    claiming_jpeg,
    encode,
    picture,
    refused,
)

from sortline.core.errors import ImageError
from sortline.images.header import Header, detect_format, is_cut_off, read_header

ACCEPTED, REFUSED = accepted(), refused()
DECODER_DECIDES = {"cut jpeg", "cut png", "jpeg without its last byte"}


@pytest.mark.parametrize("name", ACCEPTED)
def test_reads_what_the_file_says(name: str) -> None:
    mode, data = ACCEPTED[name]
    header = read_header(data, max_pixels=WIDTH * HEIGHT)
    assert (header.width, header.height, header.mode) == (WIDTH, HEIGHT, mode)
    assert header.format in name
    assert header.orientation == (6 if "turned" in name else 1)
    assert not header.animated


@pytest.mark.parametrize("name", sorted(set(REFUSED) - DECODER_DECIDES))
def test_refuses_with_a_reason(name: str) -> None:
    reason, data = REFUSED[name]
    with pytest.raises(ImageError) as caught:
        read_header(data, max_pixels=10**8, path="a/b.jpg")
    assert caught.value.reason == reason
    assert caught.value.path == "a/b.jpg"
    assert caught.value.sha256 == hashlib.sha256(data).hexdigest()
    assert caught.value.detail


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "lossless webp", "alpha webp"])
def test_one_pixel_too_many_is_refused(name: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_header(ACCEPTED[name][1], max_pixels=WIDTH * HEIGHT - 1)
    assert caught.value.reason == "too many pixels"


def test_unsupported_formats_are_named() -> None:
    with pytest.raises(ImageError, match=r"GIF; convert it to JPEG, PNG or WebP"):
        read_header(REFUSED["gif"][1], max_pixels=10**6)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_orientation(kind: str, orientation: int) -> None:
    tags = picture().getexif()
    tags[0x0112] = orientation
    data = encode(picture(), kind, exif=tags)
    assert read_header(data, max_pixels=10**6).orientation == orientation


def test_a_broken_exif_block_does_not_cost_the_image() -> None:
    data = ACCEPTED["turned jpeg"][1]
    broken = data.replace(b"MM\0*\0\0\0\x08", b"MM\0*\xff\xff\xff\xff", 1)
    assert broken != data
    assert read_header(broken, max_pixels=10**6).orientation == 1


def test_the_smallest_possible_jpegs_are_not_taken_for_cut_ones() -> None:
    grey = encode(
        picture().convert("L").point(lambda _: 128).resize((4000, 3000)), "JPEG", quality=1
    )
    assert read_header(grey, max_pixels=10**8).width == 4000


def test_detects_by_content() -> None:
    assert detect_format(b"") is None
    assert detect_format(b"RIFF\0\0\0\0WAVE") is None
    assert detect_format(animated("GIF")) is None


def test_tells_a_missing_end_from_damage() -> None:
    for name in ("jpeg", "png", "webp"):
        data = ACCEPTED[name][1]
        assert is_cut_off(data[:-40])
        assert not is_cut_off(data)
    assert not is_cut_off(b"text")


def _mutated(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.5 else data)
    for _ in range(rng.randrange(8)):
        if changed:
            changed[rng.randrange(min(len(changed), 400))] = rng.randrange(256)
    return bytes(changed)


def test_no_file_raises_anything_but_image_error() -> None:
    rng = random.Random(0)
    files = [data for _, data in (*ACCEPTED.values(), *REFUSED.values())]
    files += [claiming_jpeg(65535, 65535), animated("GIF")]
    outcomes: set[object] = set()
    for _ in range(6000):
        data = _mutated(rng.choice(files), rng)
        try:
            outcomes.add(type(read_header(data, max_pixels=10**6)))
        except ImageError as error:
            outcomes.add(error.reason)
    assert {Header, "truncated", "undecodable", "animated", "too many pixels"} <= outcomes
