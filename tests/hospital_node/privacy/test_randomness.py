"""Noise and patient draws: their distribution, and that no seed reaches them.

Bounds are six or more standard errors wide at a fixed number of draws, so a sound generator fails
less than once in a hundred million runs.
"""

import random
from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hospital_node.privacy import randomness
from hospital_node.privacy.randomness import grid, on_grid, secure_normal, secure_poisson

DRAWS = 300_000


def test_normal_numbers_have_the_moments_of_the_normal_distribution() -> None:
    values = secure_normal((DRAWS,), 2.5) / 2.5
    error = DRAWS**-0.5
    assert abs(values.mean()) < 6 * error
    assert abs((values**2).mean() - 1) < 6 * np.sqrt(2) * error
    assert abs((values**3).mean()) < 6 * np.sqrt(15) * error
    assert abs((values**4).mean() - 3) < 6 * np.sqrt(96) * error


def test_normal_numbers_follow_the_normal_distribution_function() -> None:
    values = np.sort(secure_normal((DRAWS,), 1.0))
    points = np.linspace(-4, 4, 81)
    found = np.searchsorted(values, points) / DRAWS
    expected = np.array([NormalDist().cdf(point) for point in points])
    assert np.abs(found - expected).max() < 3.5 * DRAWS**-0.5


def test_the_two_numbers_of_a_pair_and_neighbours_are_not_related() -> None:
    values = secure_normal((DRAWS,), 1.0)
    half = 2**16
    for first, second in ((values[:half], values[half : 2 * half]), (values[:-1], values[1:])):
        error = len(first) ** -0.5
        assert abs((first * second).mean()) < 7 * error
        assert abs((first**2 * second**2).mean() - 1) < 7 * np.sqrt(8) * error


@settings(max_examples=20)
@given(st.lists(st.integers(0, 7), max_size=4).map(tuple))
def test_any_shape_is_filled(shape: tuple[int, ...]) -> None:
    values = secure_normal(shape, 1.0)
    assert values.shape == shape
    assert values.dtype == np.float64
    assert np.isfinite(values).all()
    assert np.unique(values).size >= values.size - 3


@pytest.mark.parametrize("size", [2**17 - 1, 2**17, 2**17 + 1])
def test_no_number_repeats_across_the_blocks_that_are_made_at_a_time(size: int) -> None:
    """On 2^34 grid points, some 0.6 pairs of so many are equal by chance; blocks are not."""
    assert np.unique(secure_normal((size,), 1.0)).size >= size - 15


@settings(max_examples=50)
@given(st.floats(1e-9, 1e9))
def test_the_grid_is_a_power_of_two_far_below_the_deviation(deviation: float) -> None:
    step = grid(deviation)
    assert np.frexp(step)[0] == 0.5
    assert 2.0**32 <= deviation / step < 2.0**33


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-6, 1e6), st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=50))
def test_a_noised_value_tells_what_the_sum_of_whole_numbers_tells(
    deviation: float, values: list[float]
) -> None:
    """The float sum is exact, so no low bit of it betrays the value."""
    step = grid(deviation)
    value = on_grid(torch.tensor(values, dtype=torch.float64) * deviation, deviation).numpy()
    noise = secure_normal(value.shape, deviation)
    whole = [int(one) for one in value / step]
    units = [int(one) for one in noise / step]
    assert (value / step).tolist() == whole
    assert (noise / step).tolist() == units
    assert ((value + noise) / step).tolist() == [a + b for a, b in zip(whole, units, strict=True)]
    assert np.abs(value - np.array(values) * deviation).max() <= step / 2


def test_noise_is_larger_than_asked_by_what_the_rounding_of_the_value_can_cost() -> None:
    margin = randomness._MARGIN  # noqa: SLF001 - the constant that the claim is about
    assert margin == 1 + 2**-10
    deviation, size = 1585.0, 7_000_000  # of C = 1
    assert 1.0 + grid(deviation) * size**0.5 <= margin


def test_a_uniform_number_is_fine_at_both_ends_of_its_range() -> None:
    ends = np.array([0, 0, 1, 2**44 - 1, 2**44, 2**63, 2**64 - 2, 2**64 - 1], dtype=np.uint64)
    found = randomness._log_uniform(ends)  # noqa: SLF001 - its ends come up once in 2^20 draws
    assert found[0] != found[1], "64 bits more are drawn"
    assert -89 < found[0] < -44
    assert np.all(np.diff(found[2:]) >= 0)
    assert np.all(np.diff(found[[2, 3, 5, 6, 7]]) > 0)  # 3 and 4 may be one float: bits are drawn
    assert found[5] == pytest.approx(np.log(0.5))
    assert found[6] == pytest.approx(-(2.0**-64))
    assert found[7] == 0.0


def seed_everything() -> None:
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002 - the very call that must have no effect
    torch.manual_seed(7)


def test_no_seed_makes_noise_or_draws_repeat() -> None:
    seed_everything()
    noise, drawn = secure_normal((64,), 1.0), secure_poisson(256, 0.5)
    seed_everything()
    assert not np.intersect1d(noise, secure_normal((64,), 1.0)).size
    assert (drawn != secure_poisson(256, 0.5)).any()


@pytest.mark.parametrize("rate", [0.01, 0.5, 0.9])
def test_every_patient_is_drawn_at_the_rate(rate: float) -> None:
    drawn = secure_poisson(DRAWS, rate)
    error = np.sqrt(rate * (1 - rate) / DRAWS)
    assert abs(drawn.mean() - rate) < 6 * error


def test_rate_1_draws_everybody_and_no_patient_draws_nobody() -> None:
    assert secure_poisson(10_000, 1.0).all()
    assert secure_poisson(0, 0.3).shape == (0,)
