"""The population stability index: chance alone is no drift, and a class that doubles is."""

import numpy as np
import numpy.typing as npt
import pytest
from helpers.workspaces import ROOT

from sortline.evaluation.metrics import Floats
from sortline.monitoring.drift import Index, counts_between, quantile_edges, stability
from sortline.orchestration.params import load

MIN_IMAGES = load(ROOT).drift.min_images
# As a model answered on a test split of 1,974 images of the generated dataset.
SHARES = np.array([122, 141, 156, 476, 330, 127, 156, 221, 227, 18]) / 1974


def compared(reference: npt.ArrayLike, window: npt.ArrayLike) -> Index:
    return stability(reference, window, [f"bin {n}" for n in range(np.size(reference))])


def windows(shares: Floats, images: int, count: int) -> Floats:
    """Indices of so many windows of this size, against 1,974 images of the shares above."""
    generator = np.random.default_rng(0)
    reference = np.rint(SHARES * 1974).astype(int)
    drawn = generator.multinomial(images, shares, size=count)
    return np.array([compared(reference, each).index for each in drawn])


def shifted(class_id: int, times: float) -> Floats:
    """The shares when one class's is so many times what it was."""
    shares = SHARES.copy()
    shares[class_id] *= times
    others = np.arange(len(shares)) != class_id
    shares[others] *= (1.0 - shares[class_id]) / shares[others].sum()
    return shares


def test_it_is_worked_out_by_hand() -> None:
    found = compared([500_000, 500_000], [800_000, 200_000])
    assert found.index == pytest.approx(0.3 * np.log(1.6) - 0.3 * np.log(0.4), abs=1e-4)
    assert found.shift == "large"
    assert sum(each.part for each in found.bins) == pytest.approx(found.index)
    assert [each.window for each in found.bins] == [0.8, 0.2]
    assert compared([10, 20], [1000, 2000]).index < 0.01


def test_windows_of_the_reference_itself_stay_stable_at_the_smallest_size() -> None:
    found = windows(SHARES, MIN_IMAGES, 4000)
    assert found.max() < 0.1


def test_smaller_windows_would_not() -> None:
    """Why the smallest size is not smaller: a quarter of these would be called a shift."""
    assert np.mean(windows(SHARES, MIN_IMAGES // 5, 1000) > 0.1) > 0.25


def test_chance_alone_is_as_large_as_theory_has_it() -> None:
    """Chi-squared with 9 degrees of freedom, over the window's size (Yurdakul 2018)."""
    found = windows(SHARES, MIN_IMAGES, 4000)
    assert found.mean() == pytest.approx(9 / MIN_IMAGES, rel=0.1)


@pytest.mark.parametrize(("class_id", "times"), [(3, 2.25), (4, 2.5), (7, 3.25), (8, 3.25)])
def test_a_large_class_that_doubles_or_one_of_a_tenth_that_trebles_is_a_drift(
    class_id: int, times: float
) -> None:
    assert np.mean(windows(shifted(class_id, times), MIN_IMAGES, 1000) > 0.25) > 0.9


@pytest.mark.parametrize("class_id", [3, 4, 7, 8])
def test_half_as_much_again_is_not_yet_one(class_id: int) -> None:
    assert windows(shifted(class_id, 1.5), MIN_IMAGES, 1000).max() < 0.25


def test_an_empty_bin_is_finite_and_says_less_the_fewer_images_there_are() -> None:
    few, many = (compared([50, 50, 50], [n, n, 0]).index for n in (10, 1000))
    assert 0.25 < few < many < 5
    assert compared([50, 50, 0], [50, 50, 0]).index == 0.0
    assert np.isfinite(compared([5, 5], [0, 0]).index)


def test_bins_are_quantiles_of_the_reference() -> None:
    values = np.random.default_rng(0).beta(5, 1, 1000)
    edges = quantile_edges(values, 10)
    assert counts_between(values, edges).tolist() == [100] * 10
    assert counts_between([-1.0, 2.0], edges).tolist() == [1, *[0] * 8, 1]


def test_values_that_are_all_the_same_leave_no_empty_bins_behind() -> None:
    edges = quantile_edges([1.0] * 90 + [0.5] * 10, 10)
    assert counts_between([1.0] * 90 + [0.5] * 10, edges).tolist() == [10, 90]
    assert counts_between([0.3], quantile_edges([], 10)).tolist() == [1]


def test_other_bins_are_not_compared() -> None:
    with pytest.raises(ValueError, match="not of the same bins"):
        compared([1, 2], [1, 2, 3])
