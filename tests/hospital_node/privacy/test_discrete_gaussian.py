"""Exact noise: its probabilities, one by one, and whole numbers only."""

import math
import time
from fractions import Fraction

import numpy as np
import pytest

from hospital_node.privacy import discrete_gaussian as module
from hospital_node.privacy.discrete_gaussian import discrete_gaussian

DRAWS = 5_000


@pytest.mark.parametrize("deviation", [0.3, 0.7, 2.5])
def test_every_number_has_its_probability(deviation: float) -> None:
    values = discrete_gaussian((DRAWS,), deviation)
    support = np.arange(-40, 41)
    weights = np.exp(-(support**2) / (2 * deviation**2))
    weights /= weights.sum()
    for number, expected in zip(support, weights, strict=True):
        if expected * DRAWS > 5:
            error = math.sqrt(expected * (1 - expected) / DRAWS)
            assert abs((values == number).mean() - expected) < 6 * error + 1 / DRAWS


def test_at_many_units_the_moments_are_those_of_the_normal_distribution() -> None:
    values = discrete_gaussian((DRAWS,), 3.0 * 2**20) / (3.0 * 2**20)
    error = DRAWS**-0.5
    assert abs(values.mean()) < 6 * error
    assert abs((values**2).mean() - 1) < 6 * math.sqrt(2) * error
    assert abs((values**4).mean() - 3) < 6 * math.sqrt(96) * error
    assert np.unique(values).size > 0.99 * DRAWS


@pytest.mark.parametrize("exponent", [Fraction(0), Fraction(1, 3), Fraction(1), Fraction(9, 4)])
def test_a_coin_of_probability_exp_minus_x_is_fair(exponent: Fraction) -> None:
    expected = math.exp(-exponent)
    coin = module._happens  # noqa: SLF001 - algorithm 1, by itself
    found = sum(coin(exponent) for _ in range(DRAWS)) / DRAWS
    assert abs(found - expected) <= 6 * math.sqrt(expected * (1 - expected) / DRAWS)


def test_a_histogram_of_a_thousand_bins_is_noised_at_once() -> None:
    start = time.process_time()
    values = discrete_gaussian((2, 1000), 2.0 * 2**20)
    assert time.process_time() - start < 2.0
    assert values.shape == (2, 1000)
    assert values.dtype == np.int64


def test_nothing_is_asked_for_and_nothing_comes() -> None:
    assert discrete_gaussian((0, 3), 1.0).shape == (0, 3)
