"""Algorithms: combiner and server optimizer by the paper's name; the local work is the plan's.

* One table; a plan's name that is not in it cannot be said (schemas.plan.Aggregation).
* The server's state is a value: a roll back keeps the old one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from aggregator.aggregation.combiners import Combiner, weighted_mean
from aggregator.aggregation.optimizers import ServerOptimizer, accelerated, added, blended
from aggregator.aggregation.spool import Spool, Vector
from schemas.names import SiteName
from schemas.plan import Aggregation


@dataclass(frozen=True, slots=True)
class Algorithm:
    """How deltas become one, and how that one moves the model."""

    combiner: Combiner
    optimizer: ServerOptimizer


ALGORITHMS: Mapping[str, Algorithm] = MappingProxyType(
    {
        "fedavg": Algorithm(weighted_mean, added),
        "fedavgm": Algorithm(weighted_mean, accelerated),
    }
)


@dataclass(frozen=True, slots=True)
class ServerState:
    """Where training stands at the aggregator."""

    iterate: Vector
    """What the sites train from next."""
    velocity: Vector | None = None
    """Of a server optimizer with momentum, after its first step."""
    average: Vector | None = None
    """Mean of the iterates since the plan's `average_from`."""
    averaged: int = 0
    """How many iterates are in it."""


def combined(
    spool: Spool, weights: Mapping[SiteName, float], *, aggregation: Aggregation
) -> Vector:
    """Fold the deltas of the weighted sites by the plan's combiner."""
    return ALGORITHMS[aggregation.algorithm].combiner(spool, weights)


def stepped(
    state: ServerState,
    delta: Vector,
    *,
    aggregation: Aggregation,
    round: int,  # noqa: A002 - the word of every record
) -> ServerState:
    """Return the state after this round's combined delta.

    From round `average_from` on the iterates are averaged (tail averaging: Jain et al. 2018,
    arXiv:1610.03774, equation 1), one by one: mean_n = (1 - 1/n) mean_(n-1) + (1/n) iterate.

    Raises:
        ArraysRefused: the step leaves the finite values; the old state stands.
    """
    iterate, velocity = ALGORITHMS[aggregation.algorithm].optimizer(
        state.iterate, state.velocity, delta, aggregation=aggregation
    )
    if aggregation.average_from is None or round < aggregation.average_from:
        return ServerState(iterate, velocity)
    count = state.averaged + 1
    average = (
        iterate
        if state.average is None
        else blended(state.average, iterate, 1 - 1 / count, 1 / count)
    )
    return ServerState(iterate, velocity, average, count)


def candidate(state: ServerState) -> Vector:
    """Return the model to judge: the average once there is one, else the iterate."""
    return state.iterate if state.average is None else state.average
