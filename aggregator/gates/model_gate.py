"""The model gate: a candidate against the accepted model, on what the sites released.

* A verdict has three outcomes. Any check that rejects, rejects; else any that cannot tell makes it
  inconclusive.
* A check that bears on noised figures says so: the burden of proof is the plan's, at the plan's
  confidence.
* The first model is held against the floor, later ones against the accepted model's stored
  histograms: judging costs the hospitals one release, not two.
* Losses are compared over the sites that have a figure for both models, so no site enters or leaves
  between them.
"""

import math
from collections.abc import Mapping
from typing import TypeAlias

from aggregator.gates.bounds import absolute, enough
from aggregator.gates.dice import site_dice
from aggregator.gates.figures import figures
from aggregator.gates.metrics import Figure, figure, mean, pooled, site_metric, stratified
from aggregator.gates.update_gate import rows_of
from aggregator.gates.weighing import TOLERANCE, confidence_of, noise_of, undefined, weighed
from schemas.dice import DiceHistogram
from schemas.gate import (
    METRIC_NAMES,
    CheckResult,
    Figures,
    Metric,
    ModelGate,
    Outcome,
    SiteMetric,
    Verdict,
)
from schemas.gate_power import least_class_weight
from schemas.names import Digest, SiteName
from schemas.update import Histogram

Histograms: TypeAlias = Mapping[SiteName, Histogram | DiceHistogram]
"""A plan's sites all answer with the one or all with the other."""
Binding: TypeAlias = tuple[int, Digest, Digest]
"""Round, candidate, accepted: what a verdict is about."""

_SHOWN = 5
"""Further failed checks that a verdict's one sentence names; all stand in its list."""


def judged(
    candidate: Histograms,
    accepted: Histograms | None,
    *,
    gate: ModelGate,
    noise_multiplier: float | None,
    binding: Binding,
) -> Verdict:
    """Judge a candidate.

    `accepted` are the accepted model's histograms; None while none was ever accepted.
    """
    metric = _metric({**(accepted or {}), **candidate})
    name = f"stratified {METRIC_NAMES[metric]}"
    metrics = site_metrics(candidate, gate=gate, noise_multiplier=noise_multiplier)
    whole = stratified(metrics)
    if accepted is None:
        defined = sum(figure(one) is not None for one in metrics)
        checks: tuple[CheckResult, ...] = (
            enough(defined, gate.min_sites),
            _floor(whole, gate, name),
        )
    else:
        before = site_metrics(accepted, gate=gate, noise_multiplier=noise_multiplier)
        losses = _losses(metrics, before)
        own = METRIC_NAMES[metric]
        sites = (_site_loss(site, loss, gate, own) for site, loss in losses.items())
        total = mean(list(losses.values()))
        checks = (enough(len(losses), gate.min_sites), _stratified_loss(total, gate, name), *sites)
    checks = (*checks, *absolute(metrics, gate))
    outcome, reason = _overall(checks)
    return Verdict(
        round=binding[0],
        candidate=binding[1],
        accepted=binding[2],
        outcome=outcome,
        reason=reason,
        metric=metric,
        auroc=None if whole is None or metric != "auroc" else whole.value,
        dice=None if whole is None or metric != "dice" else whole.value,
        sites=metrics,
        pooled=_pooled(candidate, gate=gate, noise_multiplier=noise_multiplier),
        checks=checks,
    )


def site_metrics(
    histograms: Histograms, *, gate: ModelGate, noise_multiplier: float | None
) -> tuple[SiteMetric, ...]:
    """Return every site's figure in name order.

    It is undefined where a class is not shown to be large enough.
    """
    return tuple(
        _site_metric(site, histograms[site], gate, noise_multiplier=noise_multiplier)
        for site in sorted(histograms)
    )


def _site_metric(
    site: SiteName,
    histogram: Histogram | DiceHistogram,
    gate: ModelGate,
    *,
    noise_multiplier: float | None,
) -> SiteMetric:
    least = least_class_weight(
        gate, bins=len(rows_of(histogram)[0]), noise_multiplier=noise_multiplier
    )
    if isinstance(histogram, DiceHistogram):
        return site_dice(
            site,
            histogram,
            noise_multiplier=noise_multiplier,
            min_weight=least,
            confidence=gate.confidence,
        )
    return site_metric(
        site,
        histogram,
        noise_multiplier=noise_multiplier,
        min_class_weight=least,
        threshold=gate.threshold,
    )


def _metric(histograms: Histograms) -> Metric:
    return "dice" if any(isinstance(one, DiceHistogram) for one in histograms.values()) else "auroc"


def _pooled(histograms: Histograms, *, gate: ModelGate, noise_multiplier: float | None) -> Figures:
    """Return the figures of the sum; its noise is that of all sites together.

    A segmentation has none.
    """
    scored = [one for one in histograms.values() if isinstance(one, Histogram)]
    if not scored:
        return Figures()
    whole = pooled(scored)
    noise = (noise_multiplier or 0.0) * math.sqrt(len(histograms))
    least = least_class_weight(gate, bins=len(whole.counts[0]), noise_multiplier=noise)
    return figures(whole, threshold=gate.threshold, noise_multiplier=noise, min_class_weight=least)


def _losses(
    after: tuple[SiteMetric, ...], before: tuple[SiteMetric, ...]
) -> dict[SiteName, Figure]:
    """Return accepted minus candidate metric of the sites that have both.

    The noises of the two histograms are independent.
    """
    found = {one.site: figure(one) for one in before}
    losses = {}
    for one in after:
        new, old = figure(one), found.get(one.site)
        if new is not None and old is not None:
            deviation = math.hypot(new.deviation, old.deviation)
            losses[one.site] = Figure(old.value - new.value, deviation)
    return losses


def _floor(found: Figure | None, gate: ModelGate, name: str) -> CheckResult:
    """Check that the first model reaches the floor."""
    if found is None:
        return undefined("floor", gate.floor, f"{name} is undefined: no site has a figure")
    outcome = weighed(gate.floor - found.value, found.deviation, gate)
    said = {
        "accepted": "reaches" if found.value >= gate.floor - TOLERANCE else "is not shown to miss",
        "inconclusive": "is not shown to reach",
        "rejected": "misses",
    }
    return CheckResult(
        check="floor",
        outcome=outcome,
        found=found.value,
        allowed=gate.floor,
        deviation=found.deviation,
        reason=f"{name} {found.value:.3f}{noise_of(found)} {said[outcome]} the floor "
        f"{gate.floor:.3f}{confidence_of(found, gate)}",
    )


def _stratified_loss(found: Figure | None, gate: ModelGate, name: str) -> CheckResult:
    """Check the mean loss over the sites that have both figures."""
    if found is None:
        reason = "stratified loss is undefined: no site has a figure for both models"
        return undefined("stratified-loss", gate.margin, reason)
    outcome = weighed(found.value - gate.margin, found.deviation, gate)
    return CheckResult(
        check="stratified-loss",
        outcome=outcome,
        found=found.value,
        allowed=gate.margin,
        deviation=found.deviation,
        reason=f"{name} {_change(found, gate.margin, outcome, gate)}",
    )


def _site_loss(site: SiteName, found: Figure, gate: ModelGate, name: str) -> CheckResult:
    """Check one site's loss, by itself at the gate's confidence."""
    margin = gate.margin_at(site)
    outcome = weighed(found.value - margin, found.deviation, gate)
    return CheckResult(
        check="site-loss",
        outcome=outcome,
        found=found.value,
        allowed=margin,
        deviation=found.deviation,
        site=site,
        reason=f"{name} at {site} {_change(found, margin, outcome, gate)}",
    )


def _overall(checks: tuple[CheckResult, ...]) -> tuple[Outcome, str]:
    """Return the worst outcome and the one sentence that explains it."""
    for outcome in ("rejected", "inconclusive"):
        found = [one for one in checks if one.outcome == outcome]
        if found:
            also = [_named(one) for one in found[1:]]
            rest = [f"{len(also) - _SHOWN} more"] if len(also) > _SHOWN else []
            more = f" (also: {', '.join(also[:_SHOWN] + rest)})" if also else ""
            return found[0].outcome, f"{outcome}: {found[0].reason}{more}"
    return "accepted", f"accepted: {checks[1].reason}"


def _named(check: CheckResult) -> str:
    return check.check if check.site is None else f"{check.check} at {check.site}"


def _change(loss: Figure, margin: float, outcome: Outcome, gate: ModelGate) -> str:
    """Say a change against its margin."""
    moved = "fell" if loss.value > 0 else "rose"
    is_over = loss.value > margin + TOLERANCE
    said = {
        "accepted": "not shown to be over the margin" if is_over else "within the margin",
        "inconclusive": "not shown to be within the margin",
        "rejected": "over the margin",
    }
    if outcome == "accepted" and not is_over and loss.value <= 0:
        return f"{moved} by {abs(loss.value):.3f}{noise_of(loss)}"
    return (
        f"{moved} by {abs(loss.value):.3f}{noise_of(loss)}, {said[outcome]} {margin:.3f}"
        f"{confidence_of(loss, gate)}"
    )
