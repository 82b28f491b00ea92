"""Confidences that mislead are what a user of the gate and of thresholds would be left with."""

import numpy as np
import pytest

from sortline.training.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    fit_temperature,
    negative_log_likelihood,
    probabilities,
    youden_threshold,
)


def drawn(temperature: float, images: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose true probabilities are softmax(logits / temperature), and labels drawn so."""
    generator = np.random.default_rng(0)
    honest = generator.normal(0.0, 2.0, (images, 5))
    gumbel = generator.gumbel(size=honest.shape)
    return honest * temperature, (honest + gumbel).argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_finds_the_temperature_that_made_the_labels(temperature: float) -> None:
    logits, labels = drawn(temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)


def test_no_other_temperature_is_likelier() -> None:
    logits, labels = drawn(2.0, images=300)
    fitted = fit_temperature(logits, labels)
    least = negative_log_likelihood(logits, labels, fitted)
    others = [fitted * factor for factor in (0.5, 0.9, 0.999, 1.001, 1.1, 2.0)]
    assert all(negative_log_likelihood(logits, labels, other) > least for other in others)


def test_likelihood_by_hand() -> None:
    two = [[0.0, np.log(3.0)]]
    assert negative_log_likelihood(two, [1]) == pytest.approx(-np.log(0.75))
    assert negative_log_likelihood(two, [0], temperature=0.5) == pytest.approx(-np.log(0.1))
    np.testing.assert_allclose(probabilities(two, 0.5), [[0.1, 0.9]])


def test_answers_do_not_change_and_huge_logits_do_not_overflow() -> None:
    logits = np.array([[1e4, -1e4, 0.0], [0.0, 1.0, 2.0]])
    for temperature in (MIN_TEMPERATURE, 1.0, MAX_TEMPERATURE):
        found = probabilities(logits, temperature)
        assert found.argmax(axis=1).tolist() == [0, 2]
        np.testing.assert_allclose(found.sum(axis=1), 1.0)
        assert np.isfinite(negative_log_likelihood(logits, [1, 0], temperature))


def test_a_split_without_mistakes_or_without_hits_stays_within_limits() -> None:
    logits = np.array([[5.0, 0.0], [0.0, 5.0]])
    assert fit_temperature(logits, [0, 1]) == pytest.approx(MIN_TEMPERATURE)
    assert fit_temperature(logits, [1, 0]) == pytest.approx(MAX_TEMPERATURE)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.zeros((0, 3)), []),
        (np.zeros((2, 3)), [0]),
        (np.zeros(3), [0, 1, 2]),
        ([[np.nan, 0.0]], [0]),
        ([[np.inf, 0.0]], [0]),
    ],
)
def test_refuses_what_cannot_be_fitted(logits: object, labels: list[int]) -> None:
    with pytest.raises(ValueError, match=r"logits"):
        fit_temperature(logits, labels)  # type: ignore[arg-type]


def test_the_threshold_is_between_the_classes_where_the_rates_are_furthest_apart() -> None:
    truth = np.array([False, False, True, True])
    assert youden_threshold([0.1, 0.2, 0.8, 0.9], truth) == pytest.approx(0.5)
    assert youden_threshold([0.1, 0.8, 0.2, 0.9], truth) == pytest.approx(0.85)  # The upper of two.
    with pytest.raises(ValueError, match="one class"):
        youden_threshold([0.1, 0.2], [True, True])
