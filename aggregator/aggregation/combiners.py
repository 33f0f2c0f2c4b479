"""Combiners: many deltas to one, as the plan's rule says.

* Sites fold in name order, chunk by chunk, in float64; the result is rounded to float32 once.
* So neither arrival order nor chunk size changes a bit, and memory does not grow with the number of
  sites.
* Weights are the plan's, never a site's claim; a site without a weight is left out.
"""

import math
from collections.abc import Mapping
from typing import assert_never

import numpy as np

from aggregator.aggregation.robust import median, nearest, trimmed_mean
from aggregator.aggregation.spool import Spool, Vector
from schemas.aggregation import CombinerRule, Krum, Mean, Median, TrimmedMean
from schemas.names import SiteName

CHUNK = 2**18
"""Values folded at a time: the sums of one chunk stay in a processor's cache."""


def combined(
    spool: Spool, weights: Mapping[SiteName, float], rule: CombinerRule
) -> tuple[Vector, tuple[SiteName, ...]]:
    """Return the combined delta of the weighted sites, and which of them are in it.

    Krum takes some of them; every other combiner takes all.
    """
    sites = tuple(sorted(weights))
    match rule:
        case Mean():
            return weighted_mean(spool, weights), sites
        case Median():
            return median(spool, sites), sites
        case TrimmedMean(trim=trim):
            return trimmed_mean(spool, sites, trim), sites
        case Krum(dishonest=dishonest, keep=keep):
            kept = nearest(spool, sites, dishonest=dishonest, keep=keep)
            return weighted_mean(spool, dict.fromkeys(kept, 1.0)), kept
        case _:
            assert_never(rule)


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
        for site, share in shares.items():
            part = spool.part(site, start, stop)
            np.add(total, part if share == 1 else part * np.float64(share), out=total)
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
