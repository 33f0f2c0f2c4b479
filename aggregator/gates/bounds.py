"""The plan's optional bounds, which every candidate must keep whatever was accepted before.

* Each bears on the mean over the sites that have the figure, as the stratified AUROC does.
* Noise can only raise a calibration error; what it may have added shows no excess.
"""

import math
from collections.abc import Iterator, Sequence

from aggregator.gates.metrics import Figure
from aggregator.gates.weighing import TOLERANCE, confidence_of, noise_of, undefined, weighed
from schemas.gate import CheckResult, Estimate, ModelGate, SiteMetric


def absolute(metrics: Sequence[SiteMetric], gate: ModelGate) -> Iterator[CheckResult]:
    """Check what the plan bounds: sensitivity at the threshold, and calibration."""
    if gate.min_sensitivity is not None:
        shares = [one.figures.sensitivity for one in metrics if one.figures.sensitivity]
        yield _sensitivity(averaged(shares), gate.min_sensitivity, gate)
    if gate.max_calibration_error is not None:
        errors = [one.figures.calibration_error for one in metrics if one.figures.calibration_error]
        yield _calibration(averaged(errors), gate.max_calibration_error, gate)


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


def _sensitivity(found: Estimate | None, least: float, gate: ModelGate) -> CheckResult:
    if found is None:
        reason = "sensitivity is undefined: no site has enough patients with the finding"
        return undefined("sensitivity", least, reason)
    figure = Figure(found.value, found.noise)
    outcome = weighed(least - found.value, found.noise, gate)
    said = {
        "accepted": "reaches" if found.value >= least - TOLERANCE else "is not shown to miss",
        "inconclusive": "is not shown to reach",
        "rejected": "misses",
    }
    return CheckResult(
        check="sensitivity",
        outcome=outcome,
        found=found.value,
        allowed=least,
        deviation=found.noise,
        reason=f"mean sensitivity {found.value:.3f}{noise_of(figure)} {said[outcome]} "
        f"the least of {least:.3f}{confidence_of(figure, gate)}",
    )


def _calibration(found: Estimate | None, most: float, gate: ModelGate) -> CheckResult:
    if found is None:
        reason = "calibration error is undefined: no site has enough patients"
        return undefined("calibration", most, reason)
    figure = Figure(found.value, found.noise)
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
        reason=f"mean calibration error {found.value:.3f}{noise_of(figure)}{raised} "
        f"{said[outcome]} the most of {most:.3f}{confidence_of(figure, gate)}",
    )
