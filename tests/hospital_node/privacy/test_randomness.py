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

from hospital_node.privacy.randomness import secure_normal, secure_poisson

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
    assert np.unique(values).size == values.size


@pytest.mark.parametrize("size", [2**17 - 1, 2**17, 2**17 + 1])
def test_no_number_repeats_across_the_blocks_that_are_made_at_a_time(size: int) -> None:
    assert np.unique(secure_normal((size,), 1.0)).size == size


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
