"""What a verdict rests on: each site's histogram, or their sum alone, as the plan says.

* A sum is judged like one site: its noise is that of all sites in it together, and it has no site's
  margin.
* Sums of different sites are not compared: a candidate whose sum is of others than the accepted
  model's is inconclusive.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from aggregator.gates.model_gate import Binding, Histograms, judged, site_metrics
from aggregator.run_state import SiteHistogram
from schemas.gate import ModelGate, SiteMetric, Verdict
from schemas.names import SiteName
from schemas.plan import TrainingPlan


@dataclass(frozen=True, slots=True)
class Evidence:
    """Histograms, and how they are judged."""

    histograms: Histograms
    gate: ModelGate
    noise_multiplier: float | None


def evidence_of(plan: TrainingPlan, histograms: Sequence[SiteHistogram]) -> Evidence:
    """Return how these histograms are judged."""
    named = {one.site: one.histogram for one in histograms}
    noise = plan.evaluation.noise_multiplier
    if plan.evaluation.protection == "open":
        return Evidence(named, plan.gate, noise)
    summed = max((len(one.of) for one in histograms), default=1)
    gate = plan.gate.model_copy(update={"site_margin": 1.0})
    return Evidence(named, gate, None if noise is None else noise * math.sqrt(summed))


def metrics_of(plan: TrainingPlan, histograms: Sequence[SiteHistogram]) -> tuple[SiteMetric, ...]:
    """Return the figures of every site, or of the sum."""
    on = evidence_of(plan, histograms)
    return site_metrics(on.histograms, gate=on.gate, noise_multiplier=on.noise_multiplier)


def verdict_on(
    plan: TrainingPlan,
    histograms: Sequence[SiteHistogram],
    accepted: Sequence[SiteHistogram],
    binding: Binding,
) -> Verdict:
    """Judge a candidate; nothing `accepted` while no model was."""
    on = evidence_of(plan, histograms)
    before = {one.site: one.histogram for one in accepted}
    if plan.evaluation.protection == "masked" and _sites(histograms) != _sites(accepted):
        before = {}
    return judged(
        on.histograms,
        before if accepted else None,
        gate=on.gate,
        noise_multiplier=on.noise_multiplier,
        binding=binding,
    )


def _sites(histograms: Sequence[SiteHistogram]) -> list[tuple[SiteName, ...]]:
    """Return which sites each sum is of."""
    return [one.of for one in histograms]
