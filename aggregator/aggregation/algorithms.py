"""Algorithms at the aggregator: the plan's row of the table, applied to one round.

* What a row is stands in schemas.aggregation: local work, combiners, the server's step.
* The server's state is a value: a roll back keeps the old one.
"""

from dataclasses import replace

from aggregator.aggregation.optimizers import OPTIMIZERS, ServerState, Step, blended
from aggregator.aggregation.spool import Vector


def stepped(
    state: ServerState,
    delta: Vector,
    step: Step,
    *,
    round: int,  # noqa: A002 - the word of every record
) -> ServerState:
    """Return the state after this round's combined delta.

    From round `average_from` on the iterates are averaged (tail averaging: Jain et al. 2018,
    arXiv:1610.03774, equation 1), one by one: mean_n = (1 - 1/n) mean_(n-1) + (1/n) iterate.

    Raises:
        ArraysRefused: the step leaves the finite values; the old state stands.
    """
    rule = step.aggregation
    after = OPTIMIZERS[rule.row.server](state, delta, step)
    if rule.average_from is None or round < rule.average_from:
        return after
    count = state.averaged + 1
    average = (
        after.iterate
        if state.average is None
        else blended(state.average, after.iterate, 1 - 1 / count, 1 / count)
    )
    return replace(after, average=average, averaged=count)


def candidate(state: ServerState) -> Vector:
    """Return the model to judge: the average once there is one, else the iterate."""
    return state.iterate if state.average is None else state.average
