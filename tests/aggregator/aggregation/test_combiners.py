import math
import random
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.aggregation.combiners import weighted_mean
from aggregator.aggregation.spool import Spool, Vector
from tests.aggregator.examples import filled, flat_layout

SEEDS = st.integers(0, 2**32 - 1)


def deltas_of(seed: int, *, sites: int, size: int) -> dict[str, Vector]:
    generator = np.random.default_rng(seed)
    scales = 10.0 ** generator.integers(-6, 6, sites)
    return {
        f"S{number:02}": (scale * generator.standard_normal(size)).astype(np.float32)
        for number, scale in enumerate(scales)
    }


def mean_of(deltas: dict[str, Vector], weights: dict[str, float], *, chunk: int = 2**18) -> Vector:
    size = next(iter(deltas.values())).size
    with tempfile.TemporaryDirectory() as folder:
        spool = filled(Spool(Path(folder), flat_layout(size)), deltas)
        return weighted_mean(spool, weights, chunk=chunk)


@settings(max_examples=10)
@given(seed=SEEDS, sites=st.integers(1, 6), size=st.integers(1, 40), chunk=st.integers(1, 50))
def test_arrival_order_and_chunk_size_change_no_bit(
    seed: int, sites: int, size: int, chunk: int
) -> None:
    deltas = deltas_of(seed, sites=sites, size=size)
    weights = {site: 1.0 + number for number, site in enumerate(deltas)}
    order = list(deltas)
    random.Random(seed).shuffle(order)  # noqa: S311 - an order for a test
    shuffled = {site: deltas[site] for site in order}
    turned = {site: weights[site] for site in order}
    assert mean_of(deltas, weights).tobytes() == mean_of(shuffled, turned, chunk=chunk).tobytes()


@settings(max_examples=10)
@given(
    seed=SEEDS,
    weights=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6),
    size=st.integers(1, 40),
)
def test_the_mean_is_the_obvious_one(seed: int, weights: list[float], size: int) -> None:
    deltas = deltas_of(seed, sites=len(weights), size=size)
    named = dict(zip(deltas, weights, strict=True))
    expected = [
        math.fsum(named[site] * float(delta[place]) for site, delta in deltas.items())
        / math.fsum(weights)
        for place in range(size)
    ]
    largest = max(float(np.abs(delta).max()) for delta in deltas.values())
    np.testing.assert_allclose(mean_of(deltas, named), expected, rtol=1e-7, atol=1e-14 * largest)


@settings(max_examples=10)
@given(seed=SEEDS, sites=st.integers(1, 12), weight=st.floats(1e-6, 1e6))
def test_n_equal_sites_are_one_site_bit_for_bit(seed: int, sites: int, weight: float) -> None:
    delta = deltas_of(seed, sites=1, size=20)["S00"]
    deltas = {f"S{number:02}": delta for number in range(sites)}
    assert mean_of(deltas, dict.fromkeys(deltas, weight)).tobytes() == delta.tobytes()


def test_only_ratios_of_weights_matter_and_huge_ones_do_not_overflow() -> None:
    deltas = deltas_of(3, sites=3, size=10)
    small = mean_of(deltas, {"S00": 1.0, "S01": 2.0, "S02": 4.0})
    huge = mean_of(deltas, {"S00": 2.0**1020, "S01": 2.0**1021, "S02": 2.0**1022})
    assert small.tobytes() == huge.tobytes()


def test_a_site_without_a_weight_is_left_out() -> None:
    deltas = deltas_of(4, sites=3, size=10)
    assert mean_of(deltas, {"S01": 2.0}).tobytes() == deltas["S01"].tobytes()


@pytest.mark.parametrize("weights", [{}, {"S00": 0.0}, {"S00": -1.0}, {"S00": math.inf}])
def test_a_mean_of_nothing_and_a_weight_that_is_none_are_mistakes(
    weights: dict[str, float],
) -> None:
    with pytest.raises(ValueError, match="every weight positive and finite"):
        mean_of(deltas_of(5, sites=1, size=2), weights)


def test_memory_does_not_grow_with_the_number_of_sites(tmp_path: Path) -> None:
    size = 2**19
    delta = np.ones(size, dtype=np.float32)
    peaks = []
    for sites in (2, 16):
        deltas = dict.fromkeys((f"S{number:02}" for number in range(sites)), delta)
        spool = filled(Spool(tmp_path / str(sites), flat_layout(size)), deltas)
        tracemalloc.start()
        weighted_mean(spool, dict.fromkeys(deltas, 1.0), chunk=2**16)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.05 * peaks[0]
    assert peaks[1] < 2 * delta.nbytes
