"""Sensitivity, specificity and calibration from histograms, each with what is unsure of it.

* Noise and sampling are two deviations and are never added silently: noise is what privacy costs,
  sampling is what a small hospital costs.
* A figure that too few patients bear is undefined, by the same least class weight as AUROC.
* Scores are known to their bin only: each bin's middle stands for its scores, so calibration is
  known to half a bin's width at best.
* For the sampling a patient counts as one independent draw, whatever its images: at most too much.
"""

import math

import numpy as np
from numpy.typing import NDArray

from schemas.gate import Estimate, Figures
from schemas.update import RESOLUTION_BITS, Histogram

_FOLDED = math.sqrt(2.0 / math.pi)
"""Mean of the absolute value of a standard normal number."""


def figures(
    histogram: Histogram,
    *,
    threshold: float,
    noise_multiplier: float | None,
    min_class_weight: float,
) -> Figures:
    """Return every figure that enough patients bear."""
    negatives, positives = np.asarray(histogram.counts, dtype=np.float64) / 2**RESOLUTION_BITS
    noise = noise_multiplier or 0.0
    cut = edge(threshold, negatives.size)
    sums = {"negative": float(negatives.sum()), "positive": float(positives.sum())}
    has = {name: weight >= min_class_weight > 0 for name, weight in sums.items()}
    is_borne = sum(sums.values()) >= min_class_weight > 0
    return Figures(
        sensitivity=_share(positives, cut, noise) if has["positive"] else None,
        specificity=_share(negatives[::-1], negatives.size - cut, noise)
        if has["negative"]
        else None,
        calibration_error=_error(negatives, positives, noise) if is_borne else None,
        calibration_in_the_large=_in_the_large(negatives, positives, noise) if is_borne else None,
    )


def edge(threshold: float, bins: int) -> int:
    """Return the inner edge of the bins that stands for a threshold: bins from it on are called."""
    return min(max(round(threshold * bins), 1), bins - 1)


def auroc_sampling(auroc: float, negatives: float, positives: float) -> float:
    """Return the standard deviation that sampling gives an AUROC.

    Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747, equation 2; at 0 and 1 it is that
    of half a pair less, since no deviation at all would claim too much.
    """
    half = 0.5 / (negatives * positives)
    area = min(max(auroc, half), 1.0 - half)
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area)
    spread += (positives - 1) * (first - area**2) + (negatives - 1) * (second - area**2)
    return math.sqrt(max(0.0, spread) / (negatives * positives))


def interval(found: Estimate, quantile: float, *, sampling: bool) -> tuple[float, float]:
    """Return the interval of the noise alone, or of noise and sampling, at a normal quantile."""
    reach = quantile * (math.hypot(found.noise, found.sampling) if sampling else found.noise)
    return found.value - found.bias - reach, found.value + reach


def _share(weights: NDArray[np.float64], cut: int, noise: float) -> Estimate:
    """Return the share of a class from bin `cut` on.

    Noise by the delta method: sigma / P * sqrt((B - k) (1 - s)^2 + k s^2). Sampling: Wilson 1927,
    doi:10.1080/01621459.1927.10502953, at one deviation, which is not 0 for a share of 0 or 1.
    """
    total = float(weights.sum())
    share = min(1.0, max(0.0, float(weights[cut:].sum()) / total))
    spread = (weights.size - cut) * (1 - share) ** 2 + cut * share**2
    wilson = math.sqrt(share * (1 - share) / total + 0.25 / total**2) / (1 + 1 / total)
    return Estimate(value=share, noise=noise * math.sqrt(spread) / total, sampling=wilson)


def _error(
    negatives: NDArray[np.float64], positives: NDArray[np.float64], noise: float
) -> Estimate:
    """Return the expected calibration error: sum_j |d_j| / T, d_j = p_j - m_j (p_j + n_j).

    Naeini et al. 2015, AAAI, section "Calibration metrics". The absolute value makes noise raise
    it, by the folded normal's mean where a bin is calibrated, and by less elsewhere.
    """
    middles, total = _middles(negatives, positives)
    excess = positives - middles * (positives + negatives)
    value = float(np.abs(excess).sum()) / total
    sign = np.sign(excess)
    slopes = np.concatenate([sign * (1 - middles) - value, -sign * middles - value]) / total
    widths = noise * np.sqrt((1 - middles) ** 2 + middles**2)
    return Estimate(
        value=value,
        noise=noise * float(np.sqrt((slopes**2).sum())),
        sampling=_binomial(negatives, positives),
        bias=min(max(0.0, value), _FOLDED * float(widths.sum()) / total),
    )


def _in_the_large(
    negatives: NDArray[np.float64], positives: NDArray[np.float64], noise: float
) -> Estimate:
    """Return the frequency of findings less the mean score (Cox 1958, Biometrika 45, 562)."""
    middles, total = _middles(negatives, positives)
    value = float((positives - middles * (positives + negatives)).sum()) / total
    slopes = np.concatenate([1 - middles - value, -middles - value]) / total
    return Estimate(
        value=value,
        noise=noise * float(np.sqrt((slopes**2).sum())),
        sampling=_binomial(negatives, positives),
    )


def _middles(
    negatives: NDArray[np.float64], positives: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    middles = (np.arange(negatives.size) + 0.5) / negatives.size
    return middles, float(negatives.sum() + positives.sum())


def _binomial(negatives: NDArray[np.float64], positives: NDArray[np.float64]) -> float:
    """Return the deviation of the frequency of findings if they fall as the scores say.

    sqrt(sum_j t_j m_j (1 - m_j)) / T (Spiegelhalter 1986, doi:10.1002/sim.4780050506).
    """
    middles, total = _middles(negatives, positives)
    weights = np.maximum(positives + negatives, 0.0)
    return math.sqrt(float((weights * middles * (1 - middles)).sum())) / total
