"""Figures read from evaluation histograms, each with the noise that it carries.

* Noised counts are used as they are: clipping negative ones would pull AUROC towards one half.
* A figure that a class is too light to carry is undefined, never a guess.
* A deviation is that of the histogram's noise alone; that of the sampling of patients is named so.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aggregator.gates.figures import auroc_sampling, figures
from schemas.gate import SiteMetric
from schemas.names import SiteName
from schemas.update import RESOLUTION_BITS, Histogram

Weights: TypeAlias = NDArray[np.float64]
"""Patients per bin."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A value and the standard deviation that the histograms' noise gives it."""

    value: float
    deviation: float


def class_weights(histogram: Histogram) -> tuple[float, float]:
    """Return the patient weights of negatives and positives."""
    negatives, positives = _bins(histogram)
    return float(negatives.sum()), float(positives.sum())


def auroc(histogram: Histogram) -> float | None:
    """Return the area under the ROC curve; None when a class weighs nothing.

    Pairs in one bin count half. With p_j, n_j the weights of bin j and P, N their sums: A = sum_j
    p_j (sum_{i<j} n_i + n_j / 2) / (P N), the Mann-Whitney statistic (Hanley and McNeil 1982,
    doi:10.1148/radiology.143.1.7063747). Noise may carry it outside [0, 1]; then the nearer end is
    returned.
    """
    raw = _raw_auroc(*_bins(histogram))
    return None if raw is None else min(1.0, max(0.0, raw))


def deviation(histogram: Histogram, noise_multiplier: float | None) -> float | None:
    """Return the standard deviation that independent noise on every count gives the AUROC.

    Delta method: sigma * sqrt(sum_j (dA/dp_j)^2 + sum_j (dA/dn_j)^2) with
        dA/dp_j = (sum_{i<j} n_i + n_j / 2) / (P N) - A / P
        dA/dn_j = (sum_{i>j} p_i + p_j / 2) / (P N) - A / N
    and sigma the noise multiplier, since one patient moves the histogram by 1. Without noise it is
    0.
    """
    negatives, positives = _bins(histogram)
    area = _raw_auroc(negatives, positives)
    if area is None:
        return None
    if noise_multiplier is None:
        return 0.0
    weight_n, weight_p = float(negatives.sum()), float(positives.sum())
    below = np.cumsum(negatives) - negatives / 2
    above = weight_p - np.cumsum(positives) + positives / 2
    by_positive = below / (weight_p * weight_n) - area / weight_p
    by_negative = above / (weight_p * weight_n) - area / weight_n
    return noise_multiplier * math.sqrt(float((by_positive**2).sum() + (by_negative**2).sum()))


def site_metric(
    site: SiteName,
    histogram: Histogram,
    *,
    noise_multiplier: float | None,
    min_class_weight: float,
    threshold: float = 0.5,
) -> SiteMetric:
    """Return a site's figures; undefined where a class weighs less than `min_class_weight`."""
    negatives, positives = class_weights(histogram)
    area = auroc(histogram) if min(negatives, positives) >= min_class_weight else None
    return SiteMetric(
        site=site,
        auroc=area,
        deviation=None if area is None else deviation(histogram, noise_multiplier),
        sampling_deviation=None if area is None else auroc_sampling(area, negatives, positives),
        negatives=negatives,
        positives=positives,
        figures=figures(
            histogram,
            threshold=threshold,
            noise_multiplier=noise_multiplier,
            min_class_weight=min_class_weight,
        ),
    )


def figure(metric: SiteMetric) -> Figure | None:
    """Return a site's metric as a figure; None when it is undefined."""
    if metric.value is None or metric.deviation is None:
        return None
    return Figure(metric.value, metric.deviation)


def mean(figures: Sequence[Figure]) -> Figure | None:
    """Average independent figures, each weighing the same; None of none."""
    if not figures:
        return None
    variance = math.fsum(one.deviation**2 for one in figures)
    value = math.fsum(one.value for one in figures) / len(figures)
    return Figure(value, math.sqrt(variance) / len(figures))


def stratified(metrics: Iterable[SiteMetric]) -> Figure | None:
    """Average the metric over the sites that have one, so that telling sites apart buys nothing."""
    return mean([one for one in map(figure, metrics) if one is not None])


def pooled(histograms: Iterable[Histogram]) -> Histogram:
    """Sum histograms bin by bin, exactly.

    The AUROC of the sum is a side figure only: a model that tells sites of differing prevalence
    apart buys it.
    """
    listed = list(histograms)
    if not listed:
        message = "a sum needs at least one histogram"
        raise ValueError(message)
    negatives, positives = (
        tuple(map(sum, zip(*(one.counts[label] for one in listed), strict=True)))
        for label in (0, 1)
    )
    return Histogram(counts=(negatives, positives))


def _bins(histogram: Histogram) -> tuple[Weights, Weights]:
    negatives, positives = np.asarray(histogram.counts, dtype=np.float64) / 2**RESOLUTION_BITS
    return negatives, positives


def _raw_auroc(negatives: Weights, positives: Weights) -> float | None:
    pairs = float(negatives.sum()) * float(positives.sum())
    if negatives.sum() <= 0 or positives.sum() <= 0:
        return None
    below = np.cumsum(negatives) - negatives / 2
    return float((positives * below).sum()) / pairs
