"""What a gate can notice, computed from public sizes before any patient pays for it.

* Noise is taken as normal, and as large for both models as `expected_deviation` says.
* The sampling of patients is left out, as it is in the gate: a model is judged on the sites' own
  patients.
* Pure, and shared: the study lead reads it when the plan is pinned, a hospital before it approves.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

from schemas.gate import Metric, ModelGate
from schemas.names import SiteName

POWER = 0.8
"""Probability with which a drop is noticed."""


@dataclass(frozen=True, slots=True)
class Power:
    """True drops of the metric that keep a candidate from acceptance, with probability `POWER`."""

    stratified: float | None
    """Spread evenly over the sites; None when no site is large enough."""
    sites: Mapping[SiteName, float | None]
    """At that site alone; None: too small for a figure of its own."""


def power(
    gate: ModelGate,
    sizes: Mapping[SiteName, tuple[float, float]],
    *,
    bins: int,
    noise_multiplier: float | None,
    metric: Metric = "auroc",
) -> Power:
    """Return what this gate would notice.

    `sizes` are the sites' (negative, positive) validation patients.

    A loss is found as true loss + d Z with d the deviation of the difference of two evaluations. It
    is noticed when it exceeds margin + q d (burden on the accepted model) or margin - q d (on the
    candidate), q the quantile of the confidence; with probability 0.8 that holds from a true loss
    of margin + (+-q + 0.842) d on.
    """
    least = least_class_weight(gate, bins=bins, noise_multiplier=noise_multiplier)
    found = {
        site: math.sqrt(2)
        * expected_deviation(*size, bins=bins, noise_multiplier=noise_multiplier, metric=metric)
        if (min(size) if metric == "auroc" else sum(size)) >= least
        else None
        for site, size in sorted(sizes.items())
    }
    known = [one for one in found.values() if one is not None]
    total = math.sqrt(math.fsum(one**2 for one in known)) / len(known) if known else None
    return Power(
        stratified=None if total is None else _noticed(gate, gate.margin, total),
        sites={
            site: None if one is None else _noticed(gate, gate.margin_at(site), one)
            for site, one in found.items()
        },
    )


def notable(least: float | None) -> str:
    """Say a loss; AUROC is at most 1, so one of 0.5 takes a perfect model to chance."""
    if least is None:
        return "never: too few patients"
    return f"{least:.3f}" if least <= 0.5 else f"{least:.3f}: nothing short of a collapse"  # noqa: PLR2004 - said above


def expected_deviation(
    negatives: float,
    positives: float,
    *,
    bins: int,
    noise_multiplier: float | None,
    metric: Metric = "auroc",
) -> float:
    """Return the deviation to expect of a site's metric, before any model is known.

    That of the histogram's noise for classes spread evenly over the bins: sigma * sqrt((B - 1/B) /
    12 * (1/P^2 + 1/N^2)). Close for middling models, too large for very good ones, whose classes
    leave most bins to one side. Of a Dice coefficient the most that it can be, at a mean of 1:
    sigma * sqrt(B / 3 - 1 / (12 B)) / T over all T patients.
    """
    if metric == "dice":
        most = bins / 3 - 1 / (12 * bins)
        return (noise_multiplier or 0.0) * math.sqrt(most) / (negatives + positives)
    spread = (bins - 1 / bins) / 12
    return (noise_multiplier or 0.0) * math.sqrt(spread * (positives**-2 + negatives**-2))


def least_class_weight(gate: ModelGate, *, bins: int, noise_multiplier: float | None) -> float:
    """Return the noised class weight from which a site is large enough at the gate's confidence.

    A class weight is a sum over `bins` noised counts, so its deviation is sigma * sqrt(bins);
    without this allowance a class of two patients would now and then be given a figure.
    """
    return gate.site_min_class_weight + quantile(gate) * (noise_multiplier or 0.0) * math.sqrt(bins)


def quantile(gate: ModelGate) -> float:
    """Return the standard normal quantile of the gate's confidence."""
    return NormalDist().inv_cdf(gate.confidence)


def _noticed(gate: ModelGate, margin: float, deviation: float) -> float:
    doubt = quantile(gate) if gate.burden == "accepted" else -quantile(gate)
    return max(0.0, margin + (doubt + NormalDist().inv_cdf(POWER)) * deviation)
