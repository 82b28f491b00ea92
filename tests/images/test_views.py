"""The same plan has to give the same pixels wherever it is applied, or cached features go stale."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from sortline.images.decode import resize
from sortline.images.views import FIELDS, PLAIN, apply_view, view_vectors

SIZE = 48


def picture(height: int = 61, width: int = 83, seed: int = 0) -> np.ndarray:
    """Smooth colours with some noise: nothing that hides a shift by a pixel."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([y * 255 / height, x * 255 / width, (x + y) * 255 / (height + width)], -1)
    return np.clip(smooth + random.integers(-20, 20, smooth.shape), 0, 255).astype(np.uint8)


def view(**changes: float) -> np.ndarray:
    """The plain view with some parameters changed."""
    vector = PLAIN.copy()
    for name, value in changes.items():
        vector[FIELDS.index(name)] = value
    return vector


def drawn(image: np.ndarray, vector: np.ndarray, size: int = SIZE) -> np.ndarray:
    return np.asarray(apply_view(image, vector, size).numpy())


def plan(count: int = 12) -> np.ndarray:
    """Vectors of every kind: plain, upright, turned, shifted."""
    random = np.random.default_rng(7)
    vectors = np.tile(PLAIN, (count, 1))
    vectors[:, 0] = random.integers(0, 2, count)
    vectors[:, 3:5] = random.uniform(0.5, 1.0, (count, 2))
    vectors[:, 1:3] = random.uniform(0, 1, (count, 2)) * (1 - vectors[:, 3:5])
    vectors[::2, 5] = random.uniform(-30, 30, len(vectors[::2]))
    vectors[::3, 6:8] = random.uniform(-0.2, 0.2, (len(vectors[::3]), 2))
    vectors[:, 8] = random.uniform(-0.2, 0.2, count)
    vectors[:, 9:11] = random.uniform(0.7, 1.3, (count, 2))
    vectors[0] = PLAIN
    return vectors.astype(np.float32)


def by_dataset(parallel: int | None) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def apply(image: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        views = tf.data.Dataset.from_tensor_slices(vectors).map(
            lambda vector: apply_view(tf.constant(image), vector, SIZE), num_parallel_calls=parallel
        )
        return np.stack(list(views.as_numpy_iterator()))

    return apply


@pytest.mark.parametrize(("height", "width"), [(61, 83), (48, 48), (1, 1), (200, 3)])
def test_the_plain_view_is_what_evaluation_and_serving_see(height: int, width: int) -> None:
    image = picture(height, width)
    expected = resize(tf.constant(image), SIZE).numpy()
    assert np.array_equal(drawn(image, PLAIN), expected)
    graph = tf.function(lambda pixels, vector: apply_view(pixels, vector, SIZE))
    assert np.array_equal(graph(image, PLAIN).numpy(), expected)


@pytest.mark.parametrize("parallel", [None, 8], ids=["in_turn", "parallel"])
def test_a_plan_gives_the_same_pixels_eagerly_and_in_tf_data(parallel: int | None) -> None:
    image, vectors = picture(), plan()
    eager = np.stack([drawn(image, vector) for vector in vectors])
    assert np.array_equal(by_dataset(parallel)(image, vectors), eager)
    assert np.array_equal(by_dataset(parallel)(image, vectors), eager)
    assert len(np.unique(eager.reshape(len(eager), -1), axis=0)) == len(vectors)


def test_a_flip_swaps_left_and_right_only() -> None:
    image = picture()
    assert np.array_equal(drawn(image, view(flip=1)), drawn(image, PLAIN)[:, ::-1])


def test_a_crop_reads_the_original_pixels() -> None:
    image = picture(100, 120)
    cropped = drawn(image, view(crop_y=0.25, crop_x=0.5, crop_h=0.5, crop_w=0.25))
    expected = resize(tf.constant(image[25:75, 60:90]), SIZE).numpy()
    np.testing.assert_allclose(cropped, expected, atol=1e-3)


def dot(row: int, column: int) -> np.ndarray:
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[row - 2 : row + 3, column - 2 : column + 3] = 255
    return image


def brightest(image: np.ndarray) -> tuple[float, float]:
    weight = image[..., 0]
    y, x = np.mgrid[0 : weight.shape[0], 0 : weight.shape[1]]
    return float((y * weight).sum() / weight.sum()), float((x * weight).sum() / weight.sum())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rotation_deg": 90.0}, (23.5, 37.0)),  # From the top to the right: clockwise.
        ({"rotation_deg": -90.0}, (23.5, 10.0)),
        ({"shift_y": 0.125}, (16.0, 23.5)),
        ({"shift_x": 0.25}, (10.0, 35.5)),
        ({"shift_x": 0.25, "flip": 1.0}, (10.0, 35.5)),  # Flipped first, shifted then.
        ({"rotation_deg": 90.0, "shift_y": 0.25}, (35.5, 37.0)),  # Turned first, shifted then.
    ],
)
def test_parts_move_where_the_plan_says(
    changes: dict[str, float], expected: tuple[float, float]
) -> None:
    image = (dot(10, 23).astype(int) + dot(10, 24)).clip(0, 255).astype(np.uint8)
    assert brightest(drawn(image, view(**changes))) == pytest.approx(expected, abs=0.2)


def test_a_tiny_turn_changes_next_to_nothing() -> None:
    """The two ways of reading pixels, upright and turned, must not differ in scale or place."""
    image = picture(90, 130)
    crop = {"crop_y": 0.1, "crop_x": 0.2, "crop_h": 0.6, "crop_w": 0.7, "flip": 1.0}
    upright, turned = drawn(image, view(**crop)), drawn(image, view(**crop, rotation_deg=1e-4))
    assert not np.array_equal(upright, turned)
    np.testing.assert_allclose(turned[1:-1, 1:-1], upright[1:-1, 1:-1], atol=0.1)


def test_outside_of_the_image_is_its_mirror_image_not_black() -> None:
    image = np.full((40, 40, 3), 200, np.uint8)
    turned = drawn(image, view(rotation_deg=45.0, shift_x=0.4, shift_y=-0.4))
    np.testing.assert_allclose(turned, 200.0, atol=1e-3)


def test_colours_change_as_named() -> None:
    image = picture().clip(80, 170)
    plain = drawn(image, PLAIN)
    np.testing.assert_allclose(drawn(image, view(brightness=0.1)), plain + 25.5, atol=1e-3)
    weights = np.array([0.299, 0.587, 0.114])
    flat = drawn(image, view(contrast=0.5))
    assert flat.std() == pytest.approx(plain.std() * 0.5, rel=0.05)
    assert (flat @ weights).mean() == pytest.approx((plain @ weights).mean(), abs=1.5)
    grey = drawn(image, view(saturation=0.0))
    np.testing.assert_allclose(grey, np.repeat((plain @ weights)[..., None], 3, -1), atol=1e-2)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (300, 2), (16, 16)])
def test_any_image_and_any_view_stay_in_range(shape: tuple[int, int]) -> None:
    image = picture(*shape)
    for vector in [*plan(5), view(brightness=1.0, contrast=1.9, saturation=2.0, crop_h=0.001)]:
        pixels = drawn(image, vector, 32)
        assert pixels.shape == (32, 32, 3)
        assert pixels.dtype == np.float32
        assert np.isfinite(pixels).all()
        assert pixels.min() >= 0.0
        assert pixels.max() <= 255.0


def test_a_row_of_the_plan_becomes_its_vector() -> None:
    row = {name: index + 0.5 for index, name in reversed(list(enumerate(FIELDS)))}
    (vector,) = view_vectors(pd.DataFrame([{**row, "sha256": "ab", "view": 3}]))
    assert vector.dtype == np.float32
    assert vector.tolist() == [index + 0.5 for index in range(len(FIELDS))]


def test_nobody_changes_the_plain_view_for_all_others() -> None:
    with pytest.raises(ValueError, match="read-only"):
        PLAIN[0] = 1
