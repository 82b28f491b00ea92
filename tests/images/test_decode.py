"""If these fail, one image means different pixels in training and in serving, or one bad file in a
batch costs the answers of its neighbours, or the server's life.
"""

import hashlib
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from helpers.encoded_pictures import (
    HEIGHT,
    WIDTH,
    accepted,
    animated,
    claiming_jpeg,
    encode,
    picture,
    refused,
    with_alpha,
)
from PIL import Image

from sortline.core.errors import ImageError
from sortline.images.decode import (
    decode_and_resize,
    decode_bytes,
    decode_file,
    decode_image,
    guarded_decode,
    resize,
)

ACCEPTED = {name: data for name, (_, data) in accepted().items()}
REFUSED = refused()
CAP, SIDE = WIDTH * HEIGHT, 32


def pillow_pixels(name: str) -> np.ndarray:
    """What Pillow makes of it: alpha dropped, 16 bits by their upper 8."""
    image: Image.Image = Image.open(BytesIO(ACCEPTED[name]))
    if image.mode == "I;16":
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return np.asarray(image.convert("RGBA" if "A" in image.mode else "RGB"))[..., :3]


@pytest.mark.parametrize("name", ACCEPTED)
def test_pixels_are_those_of_the_file(name: str) -> None:
    pixels = decode_bytes(ACCEPTED[name], max_pixels=CAP)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    # Pillow brings a libjpeg and a libwebp of its own: the last bit may differ.
    assert np.abs(pixels.astype(int) - pillow_pixels(name)).max() <= 2


@pytest.mark.parametrize("name", ACCEPTED)
def test_eager_and_tf_data_agree(name: str) -> None:
    data = ACCEPTED[name]
    pixels = decode_bytes(data, max_pixels=CAP)
    files = tf.data.Dataset.from_tensors(data)
    assert np.array_equal(files.map(decode_image).get_single_element(), pixels)
    assert np.array_equal(decode_image(tf.constant(data)), pixels)
    eager = decode_and_resize(tf.constant(data), SIDE)
    mapped = files.map(lambda item: decode_and_resize(item, SIDE)).get_single_element()
    assert np.array_equal(eager, mapped)
    assert np.array_equal(eager, resize(tf.constant(pixels), SIDE))


def test_resize_is_the_plain_one() -> None:
    pixels = np.asarray(picture())
    wanted = tf.image.resize(pixels, [SIDE, SIDE], method="bilinear", antialias=False)
    assert np.array_equal(resize(tf.constant(pixels), SIDE), wanted)
    assert resize(tf.constant(pixels), SIDE).dtype == tf.float32


def test_alpha_is_dropped_not_composed() -> None:
    opaque = decode_bytes(encode(picture(), "PNG"), max_pixels=CAP)
    hidden = encode(with_alpha(0), "WEBP", lossless=True, exact=True)
    assert np.array_equal(decode_bytes(encode(with_alpha(0), "PNG"), max_pixels=CAP), opaque)
    assert np.array_equal(decode_bytes(hidden, max_pixels=CAP), opaque)


def test_orientation_is_not_applied() -> None:
    turned = decode_bytes(ACCEPTED["turned jpeg"], max_pixels=CAP)
    assert np.array_equal(turned, decode_bytes(ACCEPTED["jpeg"], max_pixels=CAP))


@pytest.mark.parametrize("name", REFUSED)
def test_refused_files_are_named_with_a_reason(name: str, tmp_path: Path) -> None:
    reason, data = REFUSED[name]
    file = tmp_path / "a.jpg"
    file.write_bytes(data)
    with pytest.raises(ImageError) as caught:
        decode_file(file, max_pixels=10**8)
    assert caught.value.reason == reason
    assert caught.value.path == str(file)
    assert caught.value.sha256 == hashlib.sha256(data).hexdigest()


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        decode_file(tmp_path / "missing.jpg", max_pixels=CAP)
    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_truncation_is_refused(kind: str) -> None:
    data = encode(picture(), kind)
    for length in [*range(0, len(data), 97), len(data) - 1]:
        with pytest.raises(ImageError):
            decode_bytes(data[:length], max_pixels=CAP)


class Guarded(tf.Module):  # type: ignore[misc]
    """As the exported graph has it."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])  # type: ignore[untyped-decorator]
    def __call__(self, data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return guarded_decode(data, SIDE, CAP)


@pytest.fixture(scope="module")
def guarded() -> Guarded:
    return Guarded()


def one_row_or_column_too_many() -> list[bytes]:
    """In every way in which a size is written down."""
    files = []
    for size in ((WIDTH + 1, HEIGHT), (WIDTH, HEIGHT + 1)):
        image, clear = picture(size=size), picture(size=size)
        clear.putalpha(100)
        files += [encode(image, kind) for kind in ("JPEG", "PNG", "WEBP")]
        files += [encode(image, "WEBP", lossless=True), encode(clear, "WEBP")]
    return files


def mixed_batch() -> tuple[list[bytes], list[bool]]:
    items = [(data, True) for data in ACCEPTED.values()]
    items += [(data, False) for _, data in REFUSED.values()]
    items += [(data, False) for data in one_row_or_column_too_many()]
    random.Random(0).shuffle(items)
    return [data for data, _ in items], [valid for _, valid in items]


def check_mixed(call: Callable[[tf.Tensor], Any]) -> None:
    data, wanted = mixed_batch()
    images, valid = call(tf.constant(data))
    assert valid.numpy().tolist() == wanted
    assert images.shape == (len(data), SIDE, SIDE, 3)
    for item, image, is_valid in zip(data, images.numpy(), wanted, strict=True):
        alone = decode_and_resize(tf.constant(item), SIDE) if is_valid else np.zeros_like(image)
        assert np.array_equal(image, alone)


def test_bad_items_leave_their_neighbours_alone(guarded: Guarded) -> None:
    check_mixed(guarded)


def test_eagerly_too() -> None:
    check_mixed(lambda data: guarded_decode(data, SIDE, CAP))


def test_inside_tf_data_too(guarded: Guarded) -> None:
    def call(data: tf.Tensor) -> Any:
        batches = tf.data.Dataset.from_tensors(data)
        return batches.map(lambda batch: guarded_decode(batch, SIDE, CAP)).get_single_element()

    check_mixed(call)


def test_saved_and_loaded_too(guarded: Guarded, tmp_path: Path) -> None:
    tf.saved_model.save(guarded, str(tmp_path / "model"))
    check_mixed(tf.saved_model.load(str(tmp_path / "model")))


def test_all_bad_and_none_at_all(guarded: Guarded) -> None:
    images, valid = guarded(tf.constant([b"", b"x"]))
    assert valid.numpy().tolist() == [False, False]
    assert not images.numpy().any()
    images, valid = guarded(tf.constant([], tf.string))
    assert images.shape == (0, SIDE, SIDE, 3)
    assert valid.shape == (0,)


def test_two_calls_agree_bit_for_bit(guarded: Guarded) -> None:
    data = tf.constant(mixed_batch()[0])
    assert np.array_equal(guarded(data)[0], guarded(data)[0])


# A bomb has to cost nothing, and an animated WebP must not reach TensorFlow's decoder, which writes
# past its memory: both are asked in a process that may die of it, with all the rest of the fuzz.
FUZZ = """
    import random, resource, sys
    from pathlib import Path
    sys.path[:0] = {paths!r}
    import tensorflow as tf
    from helpers.encoded_pictures import accepted, animated, refused
    from sortline.core.errors import ImageError
    from sortline.images.decode import decode_bytes, guarded_decode

    call = tf.function(
        lambda data: guarded_decode(data, 8, 10_000_000),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    good = accepted()["jpeg"][1]
    call(tf.constant([good]))
    bombs = [bomb.read_bytes() for bomb in Path(sys.argv[3]).iterdir()]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        _, valid = call(tf.constant([*bombs, good]))
        assert valid.numpy().tolist() == [False] * len(bombs) + [True], valid
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 100, grown_mb

    rng = random.Random(int(sys.argv[1]))
    files = [data for _, data in (*accepted().values(), *refused().values())]
    files += [animated("WEBP"), animated("WEBP", lossless=True), animated("GIF")] * 3
    for _ in range(int(sys.argv[2])):
        batch = []
        for _ in range(15):
            data = bytearray(rng.choice(files))
            for _ in range(rng.randrange(1, 6)):
                if data:
                    data[rng.randrange(min(len(data), rng.choice([40, 4000])))] = rng.randrange(256)
            batch.append(bytes(data))
        _, valid = call(tf.constant([*batch, good]))
        assert valid[-1]
        for data, is_valid in zip(batch, valid.numpy()):
            try:
                decode_bytes(data, max_pixels=10_000_000)
                decoded = True
            except ImageError:
                decoded = False
            # Python and the graph agree on every single file.
            assert decoded == is_valid, (decoded, data)
    print("survived")
"""


def write_bombs(folder: Path) -> None:
    """Small files that become 180 MB, or say that they do."""
    folder.mkdir()
    flat = Image.new("L", (10_000, 6_000))
    (folder / "png").write_bytes(encode(flat, "PNG"))
    (folder / "webp").write_bytes(encode(flat.convert("RGB"), "WEBP", lossless=True, method=0))
    (folder / "claims").write_bytes(claiming_jpeg(60_000, 60_000))
    (folder / "claims less").write_bytes(claiming_jpeg(3_000, 3_000))


def test_survives_bombs_and_mutated_files(tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    write_bombs(tmp_path / "bombs")
    script = tmp_path / "fuzz.py"
    script.write_text(textwrap.dedent(FUZZ).format(paths=[str(tests), str(tests.parent)]))
    done = subprocess.run(
        [sys.executable, str(script), "0", "40", str(tmp_path / "bombs")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "survived\n", done.stderr[-3000:]


def test_animated_webp_never_reaches_the_decoder() -> None:
    data = animated("WEBP", lossless=True)
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_image(tf.constant(data))


def test_claims_beyond_the_cap_are_refused_before_decoding() -> None:
    with pytest.raises(ImageError) as caught:
        decode_bytes(claiming_jpeg(6000, 4000), max_pixels=1_000_000)
    assert caught.value.reason in ("too many pixels", "truncated")
