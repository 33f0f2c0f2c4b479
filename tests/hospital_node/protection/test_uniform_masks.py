"""What an aggregator sees before the last exchange is uniform, alone and in every combination.

Pearson's chi-squared test of bytes, at each place in an element, with fresh keys at every run. A
uniform source fails one of these tests once in ten thousand million runs.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import chisquare

from schemas.names import SiteName
from schemas.protection.fixed_point import Elements, Ring, encoded
from schemas.protection.masks import BLOCK_BYTES
from tests.attempts import RING, Attempt, names, terms

SITES = names(4)
SIZE = BLOCK_BYTES // 4 + 1000
WIDE = Ring(64, 40, 8.0)
NEVER = 1e-12
SUBSETS = [part for size in range(1, 5) for part in combinations(SITES, size)]
Values = dict[SiteName, Elements]


def sent(ring: Ring, plain: Elements) -> Attempt:
    """Bring four sites that hold the same vector to where their masked values have left."""
    attempt = Attempt(terms(4, ring), dict.fromkeys(SITES, plain))
    for exchange in (attempt.advertise, attempt.share, attempt.input):
        exchange(SITES)
    return attempt


def least_probability(vector: Elements) -> float:
    """Return the smallest p-value over the places of an element."""
    columns = np.frombuffer(vector.tobytes(), np.uint8).reshape(vector.size, -1)
    counts = (np.bincount(column, minlength=256) for column in columns.T)
    return min(float(chisquare(one).pvalue) for one in counts)


def zeros(ring: Ring) -> Elements:
    return encoded(np.zeros(SIZE, np.float32), ring)


def summed(values: Values, sites: Sequence[SiteName]) -> Elements:
    total = np.zeros_like(values[sites[0]])
    for site in sites:
        total += values[site]
    return total


@pytest.mark.parametrize("ring", [RING, WIDE], ids=["32 bits", "64 bits"])
def test_masked_zeros_and_all_their_sums_are_uniform(ring: Ring) -> None:
    values = sent(ring, zeros(ring)).values
    for sites in SUBSETS:
        assert least_probability(summed(values, sites)) > NEVER, sites


def test_differences_of_masked_zeros_are_uniform() -> None:
    values = sent(RING, zeros(RING)).values
    for one, other in combinations(SITES, 2):
        assert least_probability(values[one] - values[other]) > NEVER, (one, other)


def test_two_attempts_over_the_same_values_have_no_mask_in_common() -> None:
    first, second = (sent(RING, zeros(RING)).values for _ in range(2))
    for site in SITES:
        assert least_probability(first[site] - second[site]) > NEVER, site


def test_values_without_masks_and_masks_used_twice_would_be_told() -> None:
    assert least_probability(zeros(RING)) < NEVER
    attempt = sent(RING, zeros(RING))
    first = dict(attempt.values)
    attempt.input(SITES)
    for site in SITES:
        assert least_probability(first[site] - attempt.values[site]) < NEVER, site
