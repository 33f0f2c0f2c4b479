"""Lower bounds: known values, and that they are wrong no more often than they say."""

import math

import numpy as np
import pytest

from deployment.rehearsal_bounds import (
    MOST_FACTOR,
    Rates,
    epsilon_at,
    most_noise,
    one_run,
    rates,
)
from schemas import accounting
from schemas.privacy import SampledGaussian

GAUSSIAN = [SampledGaussian(sampling_rate=1.0, noise_multiplier=0.6, steps=1)]
DELTA = 1e-5


def drawn(seed: int, *, distance: float, count: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of a Gaussian mechanism whose classes lie `distance` deviations apart."""
    generator = np.random.default_rng(seed)
    members = generator.random(count) < 0.5
    return members * distance + generator.normal(size=count), members


@pytest.mark.parametrize(("count", "ceiling"), [(100, 2.05), (1000, 4.4), (5000, 6.0)])
def test_when_every_guess_is_right_the_bound_is_what_so_many_canaries_can_show(
    count: int, ceiling: float
) -> None:
    members = np.arange(count) % 2 == 0
    found = one_run(members.astype(float), members, delta=DELTA, error=0.05)
    assert ceiling < found < ceiling + 1.5
    assert found < math.log(count / 3)


def test_guesses_that_are_no_better_than_coins_show_nothing() -> None:
    scores, members = drawn(0, distance=0.0)
    assert one_run(scores, members, delta=DELTA, error=0.05) == 0.0


def test_the_bound_that_assumes_nothing_does_not_pass_the_truth() -> None:
    truth = accounting.epsilon_pld(GAUSSIAN, delta=DELTA)
    shown = [
        one_run(*drawn(seed, distance=1 / 0.6), delta=DELTA, error=0.05) for seed in range(100)
    ]
    assert max(shown) < truth
    assert min(shown) > truth / 8


def test_a_sound_mechanism_is_refuted_no_more_often_than_the_error() -> None:
    refuted = 0
    for seed in range(40):
        scores, members = drawn(seed, distance=1 / 0.6)
        found = rates(scores, members, threshold=0.5 / 0.6)
        refuted += most_noise(found, GAUSSIAN, error=0.2) <= 1.0
    assert refuted <= 8


def test_rates_are_possible_up_to_the_noise_that_made_them() -> None:
    exact = Rates(true=(79_767, 100_000), false=(20_233, 100_000))
    found = most_noise(exact, GAUSSIAN, error=0.05)
    assert found == pytest.approx(1.0, abs=0.03)
    assert epsilon_at(GAUSSIAN, found, delta=DELTA) == pytest.approx(
        accounting.epsilon_pld(GAUSSIAN, delta=DELTA), rel=0.06
    )


def test_rates_of_a_coin_bound_nothing() -> None:
    coin = Rates(true=(500, 1000), false=(500, 1000))
    assert most_noise(coin, GAUSSIAN, error=0.05) == MOST_FACTOR
    assert epsilon_at(GAUSSIAN, MOST_FACTOR, delta=DELTA) == 0.0
