"""Fixed point: sums are those of whole numbers, and nothing wraps in silence."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ArraysRefused
from schemas.protection.fixed_point import (
    OverflowingRing,
    Ring,
    decoded,
    decoded_counts,
    encoded,
    encoded_counts,
    ring_for,
)

VALUES = st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=40)


@given(VALUES, st.sampled_from([20, 24, 40]), st.floats(1e-6, 1))
def test_a_value_becomes_the_nearest_whole_multiple_of_the_step(
    values: list[float], fraction_bits: int, share: float
) -> None:
    ring = ring_for(8.0, fraction_bits, sites=4)
    signed = encoded(np.array(values, np.float32), ring, share=share).view(f"<i{ring.bits // 8}")
    for value, found in zip(values, signed, strict=True):
        exact = Fraction(value) * Fraction(share) * 2**fraction_bits
        # Half a step, and the product's own rounding in float64.
        assert abs(Fraction(int(found)) - exact) <= Fraction(1, 2) + abs(exact) * Fraction(1, 2**52)


@given(st.lists(VALUES, min_size=2, max_size=6))
def test_a_sum_in_the_ring_is_the_sum_of_whole_numbers(rows: list[list[float]]) -> None:
    size = min(map(len, rows))
    ring = ring_for(8.0, 24, sites=len(rows))
    vectors = [encoded(np.array(row[:size], np.float32), ring, share=1 / len(rows)) for row in rows]
    total = np.zeros(size, ring.dtype)
    for one in vectors:
        total += one
    whole = [sum(int(one.view("<i4")[place]) for one in vectors) for place in range(size)]
    assert [int(one) for one in total.view("<i4")] == whole
    mean = np.mean([row[:size] for row in rows], axis=0)
    assert np.abs(decoded(total, ring) - mean).max() <= len(rows) / 2 * ring.step + 1e-12


def test_the_ring_is_the_smallest_that_holds_every_sum() -> None:
    # 127 * 2^24 = 2^31 - 2^24; 128 * 2^24 = 2^31, which is -2^31 in the ring 2^32.
    assert ring_for(127.0, 24, sites=4).bits == 32
    assert ring_for(128.0, 24, sites=4).bits == 64
    edge = (2**31 - 1 - 25) / 2**24
    assert ring_for(edge, 24, sites=50).bits == 32
    assert ring_for(edge, 24, sites=51).bits == 64
    with pytest.raises(OverflowingRing, match="more than 64 bits"):
        ring_for(2.0**11, 52, sites=4)


@pytest.mark.parametrize("sites", [3, 4, 10, 50])
def test_every_site_at_the_edge_does_not_wrap(sites: int) -> None:
    bound = math.floor((2**31 - 1 - (sites + 1) // 2) / 2**24 * 2**16) / 2**16
    ring = ring_for(bound, 24, sites=sites)
    assert ring.bits == 32
    for sign in (1.0, -1.0):
        vector = np.full(5, sign * bound, np.float32)
        total = np.zeros(5, ring.dtype)
        for _ in range(sites):
            total += encoded(vector, ring, share=1 / sites)
        assert np.abs(decoded(total, ring) - vector).max() <= sites / 2 * ring.step


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, 8.001, -8.001])
@pytest.mark.parametrize("place", [0, 65_535, 65_536, 99_999])
def test_what_is_not_finite_or_over_the_bound_is_refused(wrong: float, place: int) -> None:
    values = np.zeros(100_000, np.float32)
    values[place] = wrong
    with pytest.raises(ArraysRefused, match=r"not finite or over 8, the plan's bound"):
        encoded(values, Ring(32, 24, 8.0))


@given(st.lists(st.integers(-(2**50), 2**50), min_size=1, max_size=20))
def test_counts_come_back(counts: list[int]) -> None:
    assert decoded_counts(encoded_counts(np.array(counts, np.int64))) == counts
