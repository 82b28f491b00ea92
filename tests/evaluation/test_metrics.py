"""The figures by which a model is judged, and their error bars: wrong ones, and verdicts would lie.

Against cases worked out by hand, and against definitions that need no table and no curve.
"""

import time

import numpy as np
import pytest

from sortline.core.refusal import REFUSED_CLASS_ID
from sortline.evaluation import metrics
from sortline.evaluation.metrics import (
    accuracy,
    confusion_counts,
    intervals,
    macro_f1,
    paired_difference,
    pr_auc,
    resample,
    roc_auc,
    wilson,
)

# Six images: three of class 0 (right, right, said 1), two of class 1 (right, no answer), one of 2
# (said 0). Precision 2/3, 1/2, none; recall 2/3, 1/2, 0.
LABELS = [0, 0, 0, 1, 1, 2]
PREDICTED = [0, 0, 1, 1, REFUSED_CLASS_ID, 0]
COUNTS = confusion_counts(LABELS, PREDICTED, 3)
SAMPLES = 4000


def test_counts_have_a_column_for_images_without_an_answer() -> None:
    assert COUNTS.tolist() == [[2, 1, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0]]


def test_an_image_without_an_answer_is_wrong() -> None:
    assert metrics.accuracy(COUNTS) == pytest.approx(3 / 6)


def test_per_class_figures_by_hand() -> None:
    found = metrics.per_class(COUNTS)
    assert found.precision == pytest.approx([2 / 3, 1 / 2, 0])
    assert found.recall == pytest.approx([2 / 3, 1 / 2, 0])
    assert found.f1 == pytest.approx([2 / 3, 1 / 2, 0])
    assert found.support.tolist() == [3, 2, 1]
    assert metrics.macro_f1(COUNTS) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    random = np.random.default_rng(1)
    counts = confusion_counts(random.integers(0, 4, 300), random.integers(-1, 4, 300), 4)
    found = metrics.per_class(counts)
    harmonic = 2 * found.precision * found.recall / (found.precision + found.recall)
    assert found.f1 == pytest.approx(harmonic)


def test_a_class_that_never_occurs_does_not_lower_the_mean() -> None:
    assert metrics.macro_f1(confusion_counts([0, 1], [0, 1], 5)) == 1.0


def test_a_class_that_is_only_ever_predicted_lowers_the_mean() -> None:
    # F1 of class 0 is 2/3, of class 1 (predicted once, never true) 0.
    assert metrics.macro_f1(confusion_counts([0, 0], [0, 1], 3)) == pytest.approx(1 / 3)


def test_many_tables_at_once_give_what_each_gives_alone() -> None:
    tables = np.stack([COUNTS, confusion_counts([0, 1, 2], [0, 1, 2], 3)])
    assert metrics.accuracy(tables) == pytest.approx([0.5, 1.0])
    assert metrics.macro_f1(tables) == pytest.approx([float(metrics.macro_f1(COUNTS)), 1.0])


@pytest.mark.parametrize(("labels", "predicted"), [([3], [0]), ([-1], [0]), ([0], [3]), ([0], [])])
def test_class_ids_that_do_not_exist_are_refused(labels: list[int], predicted: list[int]) -> None:
    with pytest.raises(ValueError, match=r"class id|pair up"):
        confusion_counts(labels, predicted, 3)


def test_calibration_error_by_hand() -> None:
    # Two bins, (0, 0.5] and (0.5, 1]: |0.4 + 0.5 - 1| / 4 and |0.9 + 0.8 - 1| / 4.
    error = metrics.expected_calibration_error([0.4, 0.5, 0.9, 0.8], [1, 0, 1, 0], bins=2)
    assert error == pytest.approx((0.1 + 0.7) / 4)


def test_calibration_bins_are_closed_above_and_cover_zero_to_one() -> None:
    # In (0, 0.5] both: gaps of -0.5 and +0.5 cancel. In two bins they would not.
    assert metrics.expected_calibration_error([0.5, 0.5], [1, 0], bins=2) == 0.0
    assert metrics.expected_calibration_error([0.0, 1.0], [0, 1]) == 0.0


def test_a_model_that_is_always_sure_and_half_right_is_off_by_half() -> None:
    assert metrics.expected_calibration_error([1.0] * 10, [0, 1] * 5) == pytest.approx(0.5)


def test_no_answers_have_no_calibration() -> None:
    with pytest.raises(ValueError, match="no answer"):
        metrics.expected_calibration_error([], [])


def test_brier_by_hand() -> None:
    # (0.2^2 + 0.2^2) for the first, (0.6^2 + 0.6^2) for the second; an absent answer costs 1.
    assert metrics.brier([[0.8, 0.2], [0.6, 0.4]], [0, 1]) == pytest.approx((0.08 + 0.72) / 2)
    assert metrics.brier([[0.0, 0.0]], [1]) == 1.0
    assert metrics.brier([[1.0, 0.0]], [1]) == 2.0


def _drawn(ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.random(200) < 0.3
    scores = 1 / (1 + np.exp(-rng.normal(truth * 1.0)))
    return (scores.round(1) if ties else scores), truth


@pytest.mark.parametrize("ties", [False, True])
def test_the_roc_area_is_how_often_a_positive_is_above_a_negative(ties: bool) -> None:
    scores, truth = _drawn(ties)
    apart = scores[truth][:, None] - scores[~truth][None]
    assert roc_auc(scores, truth) == pytest.approx(((apart > 0) + 0.5 * (apart == 0)).mean())


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_is_the_mean_precision_at_the_positives(ties: bool) -> None:
    scores, truth = _drawn(ties)
    at = [truth[scores >= limit].mean() for limit in scores[truth]]
    assert pr_auc(scores, truth) == pytest.approx(np.mean(at))


def test_perfect_and_worthless_scores() -> None:
    truth = np.array([False, False, True, True])
    assert roc_auc([0.1, 0.2, 0.8, 0.9], truth) == pr_auc([0.1, 0.2, 0.8, 0.9], truth) == 1.0
    assert roc_auc([0.5] * 4, truth) == pr_auc([0.5] * 4, truth) == 0.5


def test_one_class_alone_cannot_be_ranked() -> None:
    with pytest.raises(ValueError, match="one class"):
        roc_auc([0.1, 0.2], [True, True])


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
