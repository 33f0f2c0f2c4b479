"""This site's own check of what it will give to a sum: nobody else sees it alone.

* What the open update gate demands of one update is demanded here: finite, not zero, and of an L2
  norm within the plan's bound. What fails leaves no trace in any sum.
* The value is on disk before the signed word that it may be summed.
"""

import math

import numpy as np

from hospital_node.node import Node
from hospital_node.protection.room import room_of
from schemas.dice import DiceHistogram
from schemas.errors import PeerRefused
from schemas.plan import TrainingPlan
from schemas.protection.terms import LARGEST_COUNT
from schemas.update import Histogram, Request
from schemas.wire.arrays import declared_layout, flat_values

_CHUNK = 2**16


def kept_delta(node: Node, request: Request, plan: TrainingPlan, delta: bytes) -> float:
    """Keep a delta that may be summed; return the bound that it is within.

    Raises:
        PeerRefused: it is zero, not finite, or longer than the plan's bound.
    """
    bound = plan.update_gate.max_norm or 0.0
    norm = _norm(delta)
    if not 0 < norm <= bound:
        found = "is zero" if norm == 0 else "is not finite or over the plan's bound"
        message = f"update refused: its L2 norm {found}, at most {bound:g} is allowed"
        next_step = "tell the study lead; a smaller learning rate or a larger bound may mend it"
        raise PeerRefused(message, next_step=next_step)
    room_of(node.home, request.run, request.plan, at=(request.round, "train")).keep_value(
        request.arrays, delta
    )
    return bound


def kept_histogram(node: Node, request: Request, histogram: Histogram | DiceHistogram) -> float:
    """Keep a histogram that may be summed; return the bound that its counts are within.

    Raises:
        PeerRefused: a count is over it.
    """
    counts = np.array(histogram.counts, dtype=object)
    if any(abs(one) > LARGEST_COUNT for one in counts.flat):
        message = "evaluation refused: a bin holds over a billion patients"
        raise PeerRefused(message, next_step="tell the study lead; the plan's noise is too large")
    room_of(node.home, request.run, request.plan, at=(request.round, "evaluate")).keep_value(
        request.arrays, histogram.canonical()
    )
    return float(LARGEST_COUNT)


def _norm(delta: bytes) -> float:
    """Return a delta's L2 norm; infinite where a value is not finite."""
    values = flat_values(delta, declared_layout(delta))
    squared = 0.0
    for start in range(0, values.size, _CHUNK):
        squared += float(np.square(values[start : start + _CHUNK], dtype=np.float64).sum())
    return math.sqrt(squared) if math.isfinite(squared) else math.inf
