"""The plan's bounds on a model by itself: of every candidate, and of what is released at the end.

* Each bears on the mean over the sites that have the figure, as the stratified AUROC does.
* Noise can only raise a calibration error; what it may have added shows no excess.
"""

import math
from collections.abc import Iterator, Sequence

from aggregator.gates.metrics import Figure, figure, mean
from aggregator.gates.weighing import TOLERANCE, confidence_of, noise_of, undefined, weighed
from schemas.gate import CheckResult, Estimate, ModelGate, ReleaseCriteria, SiteMetric


def absolute(metrics: Sequence[SiteMetric], gate: ModelGate) -> Iterator[CheckResult]:
    """Check what the plan bounds: sensitivity at the threshold, and calibration."""
    if gate.min_sensitivity is not None:
        yield least_sensitivity(metrics, gate.min_sensitivity, gate)
    if gate.max_calibration_error is not None:
        yield most_calibration_error(metrics, gate.max_calibration_error, gate)


def for_release(
    metrics: Sequence[SiteMetric], *, criteria: ReleaseCriteria, gate: ModelGate
) -> tuple[CheckResult, ...]:
    """Hold a model against what its plan demands before any hospital gets it."""
    figures = [one for one in map(figure, metrics) if one is not None]
    checks = [enough(len(figures), criteria.min_sites)]
    if criteria.min_auroc is not None:
        least = criteria.min_auroc
        checks.append(at_least("auroc", mean(figures), least, gate, name="stratified AUROC"))
    if criteria.min_dice is not None:
        least = criteria.min_dice
        checks.append(at_least("dice", mean(figures), least, gate, name="stratified Dice"))
    if criteria.min_sensitivity is not None:
        checks.append(least_sensitivity(metrics, criteria.min_sensitivity, gate))
    if criteria.min_specificity is not None:
        checks.append(_least_specificity(metrics, criteria.min_specificity, gate))
    if criteria.max_calibration_error is not None:
        checks.append(most_calibration_error(metrics, criteria.max_calibration_error, gate))
    return tuple(checks)


def enough(defined: int, least: int) -> CheckResult:
    """Check that enough sites have a figure of their own; too few can show nothing either way."""
    have = "site has a figure of its" if defined == 1 else "sites have a figure of their"
    return CheckResult(
        check="min-sites",
        outcome="accepted" if defined >= least else "inconclusive",
        found=float(defined),
        allowed=float(least),
        reason=f"{defined} {have} own, at least {least} {'is' if least == 1 else 'are'} needed",
    )


def least_sensitivity(metrics: Sequence[SiteMetric], least: float, gate: ModelGate) -> CheckResult:
    """Check the mean sensitivity at the gate's threshold."""
    found = averaged([one.figures.sensitivity for one in metrics if one.figures.sensitivity])
    if found is None:
        reason = "sensitivity is undefined: no site has enough patients with the finding"
        return undefined("sensitivity", least, reason)
    shown = Figure(found.value, found.noise)
    return at_least("sensitivity", shown, least, gate, name="mean sensitivity")


def _least_specificity(metrics: Sequence[SiteMetric], least: float, gate: ModelGate) -> CheckResult:
    found = averaged([one.figures.specificity for one in metrics if one.figures.specificity])
    if found is None:
        reason = "specificity is undefined: no site has enough patients without the finding"
        return undefined("specificity", least, reason)
    shown = Figure(found.value, found.noise)
    return at_least("specificity", shown, least, gate, name="mean specificity")


def averaged(found: Sequence[Estimate]) -> Estimate | None:
    """Average independent estimates, each weighing the same; what noise raises them is averaged."""
    if not found:
        return None
    count = len(found)
    return Estimate(
        value=math.fsum(one.value for one in found) / count,
        noise=math.hypot(*(one.noise for one in found)) / count,
        sampling=math.hypot(*(one.sampling for one in found)) / count,
        bias=math.fsum(one.bias for one in found) / count,
    )


def at_least(
    check: str, found: Figure | None, least: float, gate: ModelGate, *, name: str
) -> CheckResult:
    """Check that a figure reaches its least value."""
    if found is None:
        return undefined(check, least, f"{name} is undefined: no site has a figure")
    outcome = weighed(least - found.value, found.deviation, gate)
    said = {
        "accepted": "reaches" if found.value >= least - TOLERANCE else "is not shown to miss",
        "inconclusive": "is not shown to reach",
        "rejected": "misses",
    }
    return CheckResult(
        check=check,
        outcome=outcome,
        found=found.value,
        allowed=least,
        deviation=found.deviation,
        reason=f"{name} {found.value:.3f}{noise_of(found)} {said[outcome]} "
        f"the least of {least:.3f}{confidence_of(found, gate)}",
    )


def most_calibration_error(
    metrics: Sequence[SiteMetric], most: float, gate: ModelGate
) -> CheckResult:
    """Check the mean calibration error; what noise may have added to it shows no excess."""
    errors = [one.figures.calibration_error for one in metrics if one.figures.calibration_error]
    found = averaged(errors)
    if found is None:
        reason = "calibration error is undefined: no site has enough patients"
        return undefined("calibration", most, reason)
    shown = Figure(found.value, found.noise)
    outcome = weighed(found.value - most, found.noise, gate, bias=found.bias)
    said = {
        "accepted": "is within" if found.value <= most + TOLERANCE else "is not shown to be over",
        "inconclusive": "is not shown to be within",
        "rejected": "is over",
    }
    raised = f", up to {found.bias:.3f} of it from noise," if found.bias else ""
    return CheckResult(
        check="calibration",
        outcome=outcome,
        found=found.value,
        allowed=most,
        deviation=found.noise,
        reason=f"mean calibration error {found.value:.3f}{noise_of(shown)}{raised} "
        f"{said[outcome]} the most of {most:.3f}{confidence_of(shown, gate)}",
    )
