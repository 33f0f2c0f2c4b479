"""Mean and quantiles of patients' Dice coefficients, from a noised histogram.

* Noised counts are used as they are; clipping them would bias every figure.
* A coefficient is known to its bin only: its bin's middle stands for it in the mean, and a quantile
  is a bin's upper edge.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from schemas.dice import DiceHistogram
from schemas.gate import Estimate, SiteMetric
from schemas.names import SiteName
from schemas.update import RESOLUTION_BITS


def mean_dice(
    histogram: DiceHistogram, *, noise_multiplier: float | None, min_weight: float
) -> Estimate | None:
    """Return the mean over patients; None when they weigh less than `min_weight`.

    Noise by the delta method: sigma * sqrt(sum_j (m_j - mean)^2) / T.
    """
    counts, total = _weights(histogram)
    if total < min_weight or total <= 0:
        return None
    middles = (np.arange(counts.size) + 0.5) / counts.size
    value = min(1.0, max(0.0, float((counts * middles).sum()) / total))
    squares = (middles - value) ** 2
    spread = max(0.0, float((counts * squares).sum()) / total)
    return Estimate(
        value=value,
        noise=(noise_multiplier or 0.0) * math.sqrt(float(squares.sum())) / total,
        sampling=math.sqrt(spread / total),
    )


def site_dice(
    site: SiteName,
    histogram: DiceHistogram,
    *,
    noise_multiplier: float | None,
    min_weight: float,
    confidence: float,
) -> SiteMetric:
    """Return a site's figures; undefined where its patients weigh less than `min_weight`."""
    _, total = _weights(histogram)
    found = mean_dice(histogram, noise_multiplier=noise_multiplier, min_weight=min_weight)
    reach = NormalDist().inv_cdf((1 + confidence) / 2)
    tenth = dice_quantile(
        histogram, 0.1, noise_multiplier=noise_multiplier, reach=reach, sampling=True
    )
    return SiteMetric(
        site=site,
        auroc=None,
        dice=None if found is None else found.value,
        deviation=None if found is None else found.noise,
        sampling_deviation=None if found is None else found.sampling,
        negatives=None,
        positives=None,
        patients=total,
        lowest_tenth=None if found is None else tenth,
    )


def dice_quantile(
    histogram: DiceHistogram,
    share: float,
    *,
    noise_multiplier: float | None,
    reach: float,
    sampling: bool = False,
) -> tuple[float, float] | None:
    """Return the interval of the Dice coefficient that `share` of the patients do not pass.

    `reach` is the normal quantile of the interval. Its ends are edges of bins: those at which the
    share below, less the quantile, is not told from 0 by its noise (and the sampling, if asked
    for). None when the patients weigh nothing.
    """
    counts, total = _weights(histogram)
    if total <= 0:
        return None
    bins = np.arange(1, counts.size + 1)
    excess = np.cumsum(counts) - share * total
    # c_k - q T is (1 - q) of the k bins up to here less q of the others.
    variance = (noise_multiplier or 0.0) ** 2 * ((1 - share) ** 2 * bins + share**2 * bins[::-1])
    variance = variance - (noise_multiplier or 0.0) ** 2 * share**2
    if sampling:
        variance = variance + share * (1 - share) * total
    doubt = reach * np.sqrt(np.maximum(variance, 0.0))
    low = int(np.argmax(excess + doubt >= 0))
    under = np.flatnonzero(excess - doubt < 0)
    high = min(int(under[-1]) + 1, counts.size - 1) if under.size else 0
    return low / counts.size, (max(low, high) + 1) / counts.size


def _weights(histogram: DiceHistogram) -> tuple[NDArray[np.float64], float]:
    counts = np.asarray(histogram.counts, dtype=np.float64) / 2**RESOLUTION_BITS
    return counts, float(counts.sum())
