"""Error bars: were the fast resampling not the textbook's, verdicts would lie about certainty."""

import time

import numpy as np
import pytest

from sortline.evaluation.bootstrap import intervals, paired_difference, resample, wilson
from sortline.evaluation.metrics import accuracy, confusion_counts, macro_f1

SAMPLES = 4000


def _answers(images: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, images)
    wrong = random.random(images) < 0.2
    return labels, np.where(wrong, random.integers(-1, 4, images), labels)


def _drawn_by_image(labels: np.ndarray, predicted: np.ndarray, samples: int) -> np.ndarray:
    """The textbook: draw images with replacement, count again."""
    random = np.random.default_rng(5)
    chosen = (random.integers(0, len(labels), len(labels)) for _ in range(samples))
    return np.stack([confusion_counts(labels[rows], predicted[rows], 4) for rows in chosen])


@pytest.mark.parametrize("metric", [accuracy, macro_f1])
def test_the_distribution_is_that_of_drawing_images_with_replacement(metric: type) -> None:
    labels, predicted = _answers(120)
    ours = metric(resample(confusion_counts(labels, predicted, 4), SAMPLES, 0))
    textbook = metric(_drawn_by_image(labels, predicted, SAMPLES))
    levels = [0.025, 0.25, 0.5, 0.75, 0.975]
    # Monte Carlo error of an outer percentile at 4,000 samples is about 0.002 here.
    assert np.quantile(ours, levels) == pytest.approx(np.quantile(textbook, levels), abs=0.009)
    assert ours.std() == pytest.approx(textbook.std(), rel=0.06)


def test_every_sample_has_as_many_images_as_there_are() -> None:
    counts = confusion_counts(*_answers(120), 4)
    assert (resample(counts, 50, 0).sum(axis=(1, 2)) == 120).all()


def test_the_interval_is_the_normal_one_where_that_holds() -> None:
    labels = np.zeros(10_000, np.int64)
    predicted = (np.arange(10_000) < 1_000).astype(np.int64)  # accuracy 0.9
    low, high = intervals(confusion_counts(labels, predicted, 2), SAMPLES, 0)["accuracy"]
    half = 1.96 * np.sqrt(0.9 * 0.1 / 10_000)
    assert (low, high) == pytest.approx((0.9 - half, 0.9 + half), abs=0.0006)


def test_the_same_seed_gives_the_same_bars_and_another_does_not() -> None:
    counts = confusion_counts(*_answers(120), 4)
    assert intervals(counts, 500, 1) == intervals(counts, 500, 1)
    assert intervals(counts, 500, 1) != intervals(counts, 500, 2)


def test_a_full_size_test_split_takes_no_time_that_one_would_notice() -> None:
    counts = confusion_counts(*_answers(1_974), 4)
    start = time.process_time()
    intervals(counts, 2_000, 0)
    assert time.process_time() - start < 1.0


def test_a_paired_difference_by_hand() -> None:
    candidate = [True, True, True, False, True]
    champion = [False, False, True, True, True]
    found = paired_difference(candidate, champion, 500, 0)
    assert (found.won, found.lost, found.images) == (2, 1, 5)
    assert found.observed == pytest.approx(1 / 5)


def test_the_lower_bound_is_one_sided_at_95_per_cent() -> None:
    # 300 gained and 200 lost of 10,000: mean 0.01, variance (0.05 - 0.01^2) / 10,000.
    candidate, champion = np.zeros(10_000, bool), np.zeros(10_000, bool)
    candidate[:300], champion[300:500] = True, True
    found = paired_difference(candidate, champion, 20_000, 0)
    expected = 0.01 - 1.645 * np.sqrt((0.05 - 0.0001) / 10_000)
    assert found.lower == pytest.approx(expected, abs=0.0002)


def test_pairing_is_what_makes_small_differences_visible() -> None:
    # Both wrong on the same 2,000 of 10,000, one gains 30 more: unpaired, that drowns in noise.
    candidate = np.arange(10_000) >= 2_000
    champion = np.arange(10_000) >= 2_030
    assert paired_difference(candidate, champion, 2_000, 0).within(0.0)


def test_models_that_agree_everywhere_are_within_any_margin() -> None:
    right = np.arange(50) % 3 > 0
    found = paired_difference(right, right, 200, 0)
    assert found.lower == 0.0
    assert found.within(0.0)


def test_a_worse_candidate_is_within_no_margin_that_it_exceeds() -> None:
    better = np.ones(400, bool)
    worse = np.arange(400) >= 20  # 5 % lost
    found = paired_difference(worse, better, 1_000, 0)
    assert not found.within(0.05)
    assert found.within(0.10)


def test_images_that_do_not_pair_up_are_refused() -> None:
    with pytest.raises(ValueError, match="pair up"):
        paired_difference([True], [True, False], 100, 0)


def test_wilson_by_a_published_example() -> None:
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)
