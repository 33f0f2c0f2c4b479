"""Our accounting against dp-accounting called directly, and against measured figures."""

from random import Random

import dp_accounting
import pytest
from dp_accounting import pld, rdp
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import accounting
from schemas.privacy import SampledGaussian

DELTA = 1e-5


def gaussian(rate: float, noise: float, steps: int = 1) -> SampledGaussian:
    return SampledGaussian(sampling_rate=rate, noise_multiplier=noise, steps=steps)


EVENTS = st.builds(
    gaussian,
    st.sampled_from([0.02, 0.25, 1.0]),
    st.sampled_from([0.8, 1.3, 4.0]),
    st.integers(1, 4),
)


def raw(accountant: dp_accounting.PrivacyAccountant, events: list[SampledGaussian]) -> float:
    """Compose every step by itself, unmerged."""
    for event in events:
        noise = dp_accounting.GaussianDpEvent(event.noise_multiplier)
        step = dp_accounting.PoissonSampledDpEvent(event.sampling_rate, noise)
        for _ in range(event.steps):
            accountant.compose(noise if event.sampling_rate == 1.0 else step)
    return float(accountant.get_epsilon(DELTA))


@settings(max_examples=6)
@given(st.lists(EVENTS, max_size=4))
def test_renyi_epsilon_is_that_of_the_raw_events(events: list[SampledGaussian]) -> None:
    found = accounting.epsilon_rdp(events, delta=DELTA)
    assert found == pytest.approx(raw(rdp.RdpAccountant(), events), rel=1e-6, abs=1e-6)


MIXED = [gaussian(1.0, 4.0, 2), gaussian(0.25, 1.3, 3), gaussian(1.0, 3.0), gaussian(0.25, 1.3)]


def test_loss_distribution_epsilon_is_that_of_the_raw_events() -> None:
    found = accounting.epsilon_pld(MIXED, delta=DELTA)
    accountant = pld.PLDAccountant(value_discretization_interval=1e-3)
    assert found == pytest.approx(raw(accountant, MIXED), abs=5e-3)


@settings(max_examples=8)
@given(st.lists(EVENTS, min_size=1, max_size=4), st.randoms())
def test_order_is_nothing_and_every_release_costs(
    events: list[SampledGaussian], random: Random
) -> None:
    whole = accounting.epsilon_rdp(events, delta=DELTA)
    shuffled = list(events)
    random.shuffle(shuffled)
    assert accounting.epsilon_rdp(shuffled, delta=DELTA) == whole
    assert accounting.epsilon_rdp(events[1:], delta=DELTA) < whole


@settings(max_examples=6)
@given(st.lists(EVENTS, max_size=3))
def test_the_loss_distribution_never_exceeds_renyi(events: list[SampledGaussian]) -> None:
    spend = accounting.spend(events, delta=DELTA)
    assert 0 <= spend.pld <= spend.rdp


@pytest.mark.parametrize(
    ("rate", "noise", "steps", "delta", "renyi", "loss"),
    [
        (1.0, 1.0, 10, 1e-5, 19.054, 17.857),
        (0.25, 4.0, 200, 1e-4, 3.763, 3.408),
        (0.5, 8.0, 400, 1e-4, 5.489, 5.007),
        (0.05, 2.0, 1000, 1e-5, 4.024, 3.700),
    ],
)
def test_figures_agree_with_the_measured_table(  # noqa: PLR0913, PLR0917 - a row of the table
    rate: float, noise: float, steps: int, delta: float, renyi: float, loss: float
) -> None:
    spend = accounting.spend([gaussian(rate, noise, steps)], delta=delta)
    assert spend.rdp == pytest.approx(renyi, abs=1e-3)
    assert spend.pld == pytest.approx(loss, abs=1.1e-2)


def test_no_release_costs_nothing() -> None:
    assert accounting.spend([], delta=DELTA).rdp == accounting.spend([], delta=DELTA).pld == 0.0
