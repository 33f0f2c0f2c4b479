"""The update gate: what a reply must be by itself. One bad update never spoils a round.

* Functions of bytes and plan; they return what is wrong, and the caller quarantines, names and
  records.
* Sender, binding and digests were checked before, when the envelope was opened.
* A reason names the check and what is allowed; a norm is said to the next power of ten, so that a
  journal tells nothing more of an update.
* There is always a norm bound: the plan's, or the largest that any usable model could need.
* An update of zeros is refused: training moves something, and a site that moves nothing would pull
  the others back.
"""

import math
from dataclasses import dataclass

import numpy as np

from aggregator.aggregation.spool import Vector
from schemas.dice import DiceHistogram
from schemas.errors import ArraysRefused
from schemas.gate import METRIC_NAMES
from schemas.plan import PatientPrivacy, TrainingPlan
from schemas.privacy import PrivacyStatement, SampledGaussian
from schemas.protection.messages import Purpose, SelfCheck
from schemas.protection.terms import LARGEST_COUNT
from schemas.update import Binding, Evaluation, Histogram, Update
from schemas.wire.arrays import flat_values
from schemas.wire.layout import Layout

LARGEST_NORM = 1e6
"""L2 norm over which no delta is used, when the plan names no bound."""

_CHUNK = 2**16


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a reply is left out."""

    check: str
    reason: str


@dataclass(frozen=True, slots=True)
class Weighed:
    """An update's L2 norm, and what is wrong with it by itself."""

    norm: float
    faults: tuple[Fault, ...]


def weighed(
    update: Update, body: bytes | memoryview, *, plan: TrainingPlan, layout: Layout
) -> Weighed:
    """Hold one update against plan and layout: privacy statement, layout, finiteness, norm.

    The norm of an update that is not of the layout is not a number.
    """
    event = plan.train_event()
    max_norm = plan.privacy.max_norm if isinstance(plan.privacy, PatientPrivacy) else None
    faults = _privacy(update.privacy, plan=plan, event=event, max_norm=max_norm, part="train")
    try:
        norm = norm_of(body, layout)
    except ArraysRefused as error:
        return Weighed(math.nan, (*faults, Fault("layout", error.message)))
    return Weighed(norm, (*faults, *_of_norm(norm, plan.update_gate.max_norm or LARGEST_NORM)))


def _of_norm(norm: float, allowed: float) -> tuple[Fault, ...]:
    if not math.isfinite(norm):
        return (Fault("finite", "update refused: it holds values that are not finite"),)
    if norm == 0:
        return (Fault("zero", "update refused: all its values are zero"),)
    if norm <= allowed:
        return ()
    reason = (
        f"update refused: its L2 norm is up to {next_power(norm):.0e}, "
        f"at most {allowed:g} is allowed"
    )
    return (Fault("norm", reason),)


def faults_of_binding(found: Binding, asked: Binding) -> tuple[Fault, ...]:
    """Return what a reply is bound to beside what was asked.

    A round of this run that is over is stale: sent late, or sent again.
    """
    fields = [one for one in Binding.model_fields if getattr(found, one) != getattr(asked, one)]
    if not fields:
        return ()
    listed = ", ".join(fields)
    if (found.run, found.plan) == (asked.run, asked.plan) and found.round < asked.round:
        reason = f"reply refused: it is of round {found.round}, this is round {asked.round}"
        return (Fault("stale", reason),)
    reason = f"reply refused: it is bound to another {listed} than the request"
    return (Fault("binding", reason),)


def faults_of_evaluation(evaluation: Evaluation, *, plan: TrainingPlan) -> tuple[Fault, ...]:
    """Return what is wrong with one evaluation: privacy statement, bins, counts that cannot be."""
    event = plan.evaluation_event()
    faults = list(
        _privacy(evaluation.privacy, plan=plan, event=event, max_norm=1.0, part="validation")
    )
    rows = rows_of(evaluation.histogram)
    if isinstance(evaluation.histogram, DiceHistogram) != (plan.metric == "dice"):
        reason = f"evaluation refused: its histogram is not of {METRIC_NAMES[plan.metric]}"
        faults.append(Fault("kind", reason))
    if len(rows[0]) != plan.evaluation.bins:
        reason = f"evaluation refused: {len(rows[0])} bins, the plan has {plan.evaluation.bins}"
        faults.append(Fault("bins", reason))
    counts = [count for row in rows for count in row]
    if any(abs(count) > LARGEST_COUNT for count in counts):
        faults.append(Fault("counts", "evaluation refused: a bin holds over a billion patients"))
    if event is None and any(count < 0 for count in counts):
        reason = (
            "evaluation refused: a negative count, only noise may give one and the plan has none"
        )
        faults.append(Fault("counts", reason))
    return tuple(faults)


def faults_of_self_check(
    check: SelfCheck, *, plan: TrainingPlan, purpose: Purpose, bound: float
) -> tuple[Fault, ...]:
    """Return what is wrong with a site's word about its own value: privacy statement, bound."""
    trains = purpose == "train"
    event = plan.train_event() if trains else plan.evaluation_event()
    if trains:
        max_norm = plan.privacy.max_norm if isinstance(plan.privacy, PatientPrivacy) else None
        faults = _privacy(check.privacy, plan=plan, event=event, max_norm=max_norm, part="train")
    else:
        faults = _privacy(check.privacy, plan=plan, event=event, max_norm=1.0, part="validation")
    if check.bound == bound:
        return faults
    reason = f"self-check refused: it is of the bound {check.bound:g}, the plan's is {bound:g}"
    return (*faults, Fault("bound", reason))


def faults_of_sum(mean: Vector, *, allowed: float) -> tuple[Fault, ...]:
    """Return what is wrong with a mean of deltas that each were within the plan's norm.

    It is within it too; a longer one shows that some site lied.
    """
    return _of_norm(_norm(mean), allowed)


def rows_of(histogram: Histogram | DiceHistogram) -> tuple[tuple[int, ...], ...]:
    """Return the rows of bins of either histogram."""
    return histogram.counts if isinstance(histogram, Histogram) else (histogram.counts,)


def norm_of(body: bytes | memoryview, layout: Layout) -> float:
    """Return a delta's L2 norm in float64; it is not finite exactly when a value is not.

    Raises:
        ArraysRefused: names, shapes, dtypes, order or length differ from the layout.
    """
    return _norm(flat_values(body, layout))


def _norm(values: Vector) -> float:
    squared = 0.0
    for start in range(0, values.size, _CHUNK):
        # No matrix library: its threads would contend with nodes that train in this process.
        squared += float(np.square(values[start : start + _CHUNK], dtype=np.float64).sum())
    return math.sqrt(squared) if math.isfinite(squared) else math.inf


def _privacy(
    stated: PrivacyStatement | None,
    *,
    plan: TrainingPlan,
    event: SampledGaussian | None,
    max_norm: float | None,
    part: str,
) -> tuple[Fault, ...]:
    """Hold a privacy statement against what the plan says that this release costs."""
    if event is None or stated is None:
        if event is None and stated is None:
            return ()
        found, allowed = ("none", "one") if event else ("one", "none")
        reason = f"reply refused: it has {found} privacy statement, the plan demands {allowed}"
        return (Fault("privacy", reason),)
    delta = plan.privacy.delta if isinstance(plan.privacy, PatientPrivacy) else None
    facts: dict[str, tuple[object, object]] = {
        "event": (stated.event, event),
        "max_norm": (stated.max_norm, max_norm),
        "delta": (stated.spent.delta, delta),
        "part": (stated.part, part),
    }
    wrong = [name for name, (found, allowed) in facts.items() if found != allowed]
    if not wrong:
        return ()
    listed = ", ".join(wrong)
    reason = (
        f"reply refused: its privacy statement has another {listed} than the plan, "
        "only the plan's is allowed"
    )
    return (Fault("privacy", reason),)


def next_power(value: float) -> float:
    """Return the next power of ten: as much as a reason says of a norm."""
    return 10.0 ** math.ceil(math.log10(value))
