"""How a noised figure is weighed against a bound, and said in words.

* Shown at the gate's confidence: rejected. Else the burden decides: the accepted model's is to show
  the excess, the candidate's to exclude it.
"""

from aggregator.gates.metrics import Figure
from schemas.gate import CheckResult, ModelGate, Outcome
from schemas.gate_power import quantile

TOLERANCE = 1e-9
"""Excess that is rounding, not loss."""


def weighed(excess: float, deviation: float, gate: ModelGate, *, bias: float = 0.0) -> Outcome:
    """Weigh how far a figure lies on the wrong side of its bound against its noise.

    `bias` is what noise may have added to the excess; that much shows nothing.
    """
    doubt = quantile(gate) * deviation
    if excess - bias - doubt > TOLERANCE:
        return "rejected"
    if gate.burden == "accepted" or excess + doubt <= TOLERANCE:
        return "accepted"
    return "inconclusive"


def undefined(check: str, allowed: float, reason: str) -> CheckResult:
    """Return the result of a check whose figure does not exist."""
    return CheckResult(
        check=check, outcome="inconclusive", found=None, allowed=allowed, reason=reason
    )


def noise_of(found: Figure) -> str:
    """Say a figure's noise, if it has any."""
    return f" (noise deviation {found.deviation:.3f})" if found.deviation else ""


def confidence_of(found: Figure, gate: ModelGate) -> str:
    """Say at what confidence a noised figure was weighed."""
    return f" at confidence {gate.confidence:g}" if found.deviation else ""
