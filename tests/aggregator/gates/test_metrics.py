import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.gates.metrics import (
    Figure,
    auroc,
    class_weights,
    deviation,
    mean,
    pooled,
    site_metric,
    stratified,
)
from schemas.gate import SiteMetric
from schemas.gate_power import expected_deviation
from schemas.update import Histogram
from tests.aggregator.examples import histogram, noised, of_scores

COUNTS = st.lists(st.integers(0, 4), min_size=2, max_size=6)


def by_pairs(negatives: list[int], positives: list[int]) -> float | None:
    """Compare every positive with every negative patient, by bin."""
    low = [place for place, count in enumerate(negatives) for _ in range(count)]
    high = [place for place, count in enumerate(positives) for _ in range(count)]
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for n, p in itertools.product(low, high)]
    return sum(pairs) / len(pairs) if pairs else None


def model(quality: float, *, negatives: int, positives: int, seed: int = 0) -> Histogram:
    """Scores of a model whose classes lie `quality` deviations apart."""
    generator = np.random.default_rng(seed)
    low = generator.normal(-quality / 2, 1, negatives)
    high = generator.normal(quality / 2, 1, positives)
    return of_scores(1 / (1 + np.exp(-low)), 1 / (1 + np.exp(-high)))


@given(negatives=COUNTS, data=st.data())
def test_auroc_is_that_of_every_pair(negatives: list[int], data: st.DataObject) -> None:
    size = len(negatives)
    positives = data.draw(st.lists(st.integers(0, 4), min_size=size, max_size=size))
    found = auroc(histogram(negatives, positives))
    assert found == pytest.approx(by_pairs(negatives, positives))


def test_auroc_takes_fractions_of_patients() -> None:
    assert auroc(histogram([0.5, 0.25], [0.25, 0.5])) == pytest.approx(by_pairs([2, 1], [1, 2]))


def test_negative_counts_are_kept() -> None:
    kept = auroc(histogram([10, -2], [5, 5]))
    clipped = auroc(histogram([10, 0], [5, 5]))
    assert kept == pytest.approx((5 * 5 + 5 * (10 - 1)) / (10 * 8))
    assert clipped == pytest.approx(0.75)


def test_auroc_that_noise_carries_outside_is_brought_back() -> None:
    assert auroc(histogram([10, -4], [0, 10])) == 1.0


@pytest.mark.parametrize("empty", [[0, 0], [1, -1], [-1, -2]])
def test_a_class_that_weighs_nothing_leaves_auroc_and_deviation_undefined(
    empty: list[int],
) -> None:
    for found in (histogram(empty, [1, 1]), histogram([1, 1], empty)):
        assert auroc(found) is None
        assert deviation(found, 1.0) is None


@pytest.mark.parametrize("quality", [0.0, 1.0, 2.3])
@pytest.mark.parametrize(("negatives", "positives", "noise"), [(98, 49, 1.0), (200, 60, 2.0)])
def test_the_deviation_is_that_of_simulated_noise(
    quality: float, negatives: int, positives: int, noise: float
) -> None:
    clean = model(quality, negatives=negatives, positives=positives)
    generator = np.random.default_rng(1)
    simulated = [auroc(noised(clean, noise, generator)) for _ in range(1500)]
    expected = np.std(np.asarray(simulated, dtype=float))
    assert deviation(clean, noise) == pytest.approx(expected, rel=0.15)


def test_without_noise_the_deviation_is_zero_and_it_grows_with_noise() -> None:
    clean = model(1.0, negatives=50, positives=50)
    assert deviation(clean, None) == 0.0
    one, two = deviation(clean, 1.0), deviation(clean, 2.0)
    assert one is not None
    assert two == pytest.approx(2 * one)


@pytest.mark.parametrize("bins", [5, 10, 50])
def test_the_expected_deviation_is_that_of_classes_spread_evenly(bins: int) -> None:
    even = histogram([80 / bins] * bins, [30 / bins] * bins)
    found = expected_deviation(80, 30, bins=bins, noise_multiplier=1.5)
    assert deviation(even, 1.5) == pytest.approx(found, rel=1e-3)


def test_a_site_with_a_light_class_has_weights_but_no_figure() -> None:
    found = site_metric(
        "A", histogram([2, 0], [20, 33]), noise_multiplier=None, min_class_weight=10
    )
    assert (found.auroc, found.deviation, found.sampling_deviation) == (None, None, None)
    assert (found.negatives, found.positives) == (2, 53)
    assert found.figures.specificity is None
    assert found.figures.sensitivity is not None


def test_a_site_whose_classes_weigh_exactly_enough_has_a_figure() -> None:
    found = site_metric(
        "A", histogram([10, 0], [0, 10]), noise_multiplier=None, min_class_weight=10
    )
    assert (found.auroc, found.deviation) == (1.0, 0.0)


def test_the_stratified_figure_is_the_mean_over_the_sites_that_have_one() -> None:
    metrics = [
        SiteMetric(site="A", auroc=0.9, deviation=0.03, negatives=90, positives=90),
        SiteMetric(site="B", auroc=None, deviation=None, negatives=2, positives=50),
        SiteMetric(site="C", auroc=0.7, deviation=0.04, negatives=10, positives=10),
    ]
    found = stratified(metrics)
    assert found is not None
    assert found.value == pytest.approx(0.8)
    assert found.deviation == pytest.approx(0.025)


def test_of_no_sites_there_is_no_mean() -> None:
    assert stratified([]) is None
    assert mean([]) is None
    assert mean([Figure(0.5, 0.1)]) == Figure(0.5, 0.1)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), sites=st.integers(1, 5))
def test_pooling_adds_weights_exactly_in_any_order(seed: int, sites: int) -> None:
    generator = np.random.default_rng(seed)
    found = [noised(histogram([9] * 4, [5] * 4), 3.0, generator) for _ in range(sites)]
    total = pooled(found)
    assert total == pooled(reversed(found))
    assert class_weights(total)[0] == pytest.approx(sum(class_weights(one)[0] for one in found))


def test_a_sum_of_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one histogram"):
        pooled([])
