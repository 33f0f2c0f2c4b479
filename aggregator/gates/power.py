"""What a gate can notice, computed from public sizes before any patient pays for it.

* Noise is taken as normal, and as large for both models as `metrics.expected_deviation` says.
* The sampling of patients is left out, as it is in the gate: a model is judged on the sites' own
  patients.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

from aggregator.gates.metrics import Figure, expected_deviation, mean
from aggregator.gates.model_gate import least_class_weight, quantile
from schemas.gate import ModelGate
from schemas.names import SiteName

POWER = 0.8
"""Probability with which a drop is noticed."""


@dataclass(frozen=True, slots=True)
class Power:
    """True drops in AUROC that keep a candidate from being accepted, with probability `POWER`."""

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
) -> Power:
    """Return what this gate would notice.

    `sizes` are the sites' (negative, positive) validation patients.

    A loss is found as true loss + d Z with d the deviation of the difference of two evaluations. It
    is noticed when it exceeds margin + q d (burden on the accepted model) or margin - q d (on the
    candidate), q the quantile of the confidence; with probability 0.8 that holds from a true loss
    of margin + (+-q + 0.842) d on.
    """
    least = least_class_weight(gate, bins=bins, noise_multiplier=noise_multiplier)
    figures: dict[SiteName, Figure | None] = {}
    for site, (negatives, positives) in sorted(sizes.items()):
        once = (
            expected_deviation(negatives, positives, bins=bins, noise_multiplier=noise_multiplier)
            if min(negatives, positives) >= least
            else None
        )
        figures[site] = None if once is None else Figure(0.0, math.sqrt(2) * once)
    total = mean([one for one in figures.values() if one is not None])
    return Power(
        stratified=None if total is None else _noticed(gate, gate.margin, total.deviation),
        sites={
            site: None if one is None else _noticed(gate, gate.site_margin, one.deviation)
            for site, one in figures.items()
        },
    )


def _noticed(gate: ModelGate, margin: float, deviation: float) -> float:
    doubt = quantile(gate) if gate.burden == "accepted" else -quantile(gate)
    return max(0.0, margin + (doubt + NormalDist().inv_cdf(POWER)) * deviation)
