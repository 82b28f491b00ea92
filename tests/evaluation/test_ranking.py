"""Areas under curves against definitions that need no curve."""

import numpy as np
import pytest

from sortline.evaluation.ranking import pr_auc, roc_auc, youden_threshold


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
    assert youden_threshold([0.1, 0.2, 0.8, 0.9], truth) == pytest.approx(0.5)


def test_one_class_alone_cannot_be_ranked() -> None:
    with pytest.raises(ValueError, match="one class"):
        roc_auc([0.1, 0.2], [True, True])
