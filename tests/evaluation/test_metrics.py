"""The figures by which a model is judged, against cases worked out by hand."""

import numpy as np
import pytest

from sortline.core.refusal import REFUSED_CLASS_ID
from sortline.evaluation import metrics
from sortline.evaluation.metrics import confusion_counts

# Six images: three of class 0 (right, right, said 1), two of class 1 (right, no answer), one of 2
# (said 0). Precision 2/3, 1/2, none; recall 2/3, 1/2, 0.
LABELS = [0, 0, 0, 1, 1, 2]
PREDICTED = [0, 0, 1, 1, REFUSED_CLASS_ID, 0]
COUNTS = confusion_counts(LABELS, PREDICTED, 3)


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
