"""What a gate notices: worked cases, and the gate itself run five hundred times."""

import numpy as np
import pytest

from aggregator.gates.metrics import auroc
from aggregator.gates.model_gate import judged
from schemas.gate import ModelGate
from schemas.gate_power import power
from schemas.update import Histogram
from tests.aggregator.examples import histogram, noised

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def leaning(area: float, patients: float) -> Histogram:
    """Classes spread over all ten bins, with this AUROC."""
    slope = np.linspace(-1, 1, 10)
    steepest = auroc(histogram(1 - slope, 1 + slope))
    assert steepest is not None
    shift = (area - 0.5) / (steepest - 0.5)
    return histogram(patients / 10 * (1 - shift * slope), patients / 10 * (1 + shift * slope))


def test_without_noise_any_drop_over_the_margin_is_noticed() -> None:
    gate = ModelGate(margin=0.02, site_margin=0.1)
    found = power(gate, {"A": (50, 50)}, bins=10, noise_multiplier=None)
    assert (found.stratified, dict(found.sites)) == (0.02, {"A": 0.1})


def test_a_site_too_small_for_a_figure_notices_nothing() -> None:
    found = power(ModelGate(), {"A": (2, 53), "B": (40, 40)}, bins=10, noise_multiplier=1.0)
    assert found.sites["A"] is None
    assert found.stratified is not None
    alone = power(ModelGate(), {"A": (2, 53)}, bins=10, noise_multiplier=1.0)
    assert alone.stratified is None


def test_at_sigma_two_a_site_of_90_patients_notices_only_large_drops() -> None:
    found = power(ModelGate(), {"A": (45, 45)}, bins=10, noise_multiplier=2.0)
    assert found.sites["A"] == pytest.approx(0.1 + (1.645 + 0.842) * 2**0.5 * 0.0571, abs=2e-3)


def test_the_burden_on_the_candidate_notices_smaller_drops() -> None:
    sizes = {"A": (100.0, 100.0), "B": (60.0, 60.0)}
    strict = power(ModelGate(burden="candidate"), sizes, bins=10, noise_multiplier=1.0)
    lax = power(ModelGate(burden="accepted"), sizes, bins=10, noise_multiplier=1.0)
    assert strict.stratified is not None
    assert lax.stratified is not None
    assert strict.stratified < 0.02 < lax.stratified


def test_a_drop_of_that_size_is_noticed_eight_times_in_ten() -> None:
    gate = ModelGate(site_margin=1.0)
    sizes = {"A": (100.0, 100.0), "B": (100.0, 100.0)}
    drop = power(gate, sizes, bins=10, noise_multiplier=2.0).stratified
    assert drop is not None
    before, after = leaning(0.6, 100), leaning(0.6 - drop, 100)
    generator = np.random.default_rng(3)
    noticed = [
        judged(
            {site: noised(after, 2.0, generator) for site in sizes},
            {site: noised(before, 2.0, generator) for site in sizes},
            gate=gate,
            noise_multiplier=2.0,
            binding=(1, ONE, TWO),
        ).outcome
        == "rejected"
        for _ in range(500)
    ]
    assert np.mean(noticed) == pytest.approx(0.8, abs=0.06)


def test_dice_is_borne_by_all_patients_and_its_noise_is_the_most_it_can_be() -> None:
    gate = ModelGate(margin=0.0, site_margin=0.0)
    sizes = {"A": (2.0, 88.0)}
    found = power(gate, sizes, bins=10, noise_multiplier=2.0, metric="dice").sites["A"]
    away = (np.arange(10) + 0.5) / 10 - 1
    deviation = 2.0 * np.sqrt((away**2).sum()) / 90
    assert found == pytest.approx((1.645 + 0.842) * 2**0.5 * deviation, rel=1e-3)
    assert power(gate, sizes, bins=10, noise_multiplier=2.0).sites["A"] is None
