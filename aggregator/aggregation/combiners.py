"""Combiners: many deltas to one.

* Sites fold in name order, chunk by chunk, in float64; the result is rounded to float32 once.
* So neither arrival order nor chunk size changes a bit, and memory does not grow with the number of
  sites.
* Weights are the plan's, never a site's claim; a site without a weight is left out.
"""

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from aggregator.aggregation.spool import Spool, Vector
from schemas.names import SiteName

CHUNK = 2**18
"""Values folded at a time: the sums of one chunk stay in a processor's cache."""


class Combiner(Protocol):
    """Fold the spooled deltas of the weighted sites into one."""

    def __call__(
        self, spool: Spool, weights: Mapping[SiteName, float], *, chunk: int = CHUNK
    ) -> Vector:
        """Return the combined delta."""


def weighted_mean(spool: Spool, weights: Mapping[SiteName, float], *, chunk: int = CHUNK) -> Vector:
    """Average the deltas by weight.

    McMahan et al. 2017, arXiv:1602.05629, algorithm 1: sum over k of (n_k / n) w_k, here over
    deltas and with the plan's weights for n_k. Weights are taken relative to the largest, so that
    equal ones multiply exactly by 1.
    """
    shares = _relative(weights)
    total_weight = math.fsum(shares.values())
    mean = np.empty(spool.size, dtype=np.float32)
    for start in range(0, spool.size, chunk):
        stop = min(start + chunk, spool.size)
        total = np.zeros(stop - start, dtype=np.float64)
        scaled = np.empty_like(total)
        for site, share in shares.items():
            np.multiply(spool.part(site, start, stop), share, out=scaled, dtype=np.float64)
            np.add(total, scaled, out=total)
        np.divide(total, total_weight, out=total)
        mean[start:stop] = total
    return mean


def _relative(weights: Mapping[SiteName, float]) -> dict[SiteName, float]:
    """Return the weights in name order, the largest as 1."""
    if not weights or not all(0 < one < math.inf for one in weights.values()):
        message = "a mean needs at least one site, and every weight positive and finite"
        raise ValueError(message)
    largest = max(weights.values())
    return {site: weights[site] / largest for site in sorted(weights)}
