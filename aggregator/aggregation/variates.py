"""The aggregator's side of SCAFFOLD: the common variate, and which round each site's stands at.

* The common variate is the weighted mean of the sites' own: it moves by what the delta's sites did,
  so it holds when some are late, quarantined or left out by name.
* Which of a site's updates counted is part of the server's state, and rolls back with it.
"""

from collections.abc import Sequence

from aggregator.aggregation.optimizers import Step
from aggregator.run_state import RunState
from schemas.names import SiteName
from schemas.plan import TrainingPlan
from schemas.update import VariateRounds


def step_of(plan: TrainingPlan, round_number: int, kept: Sequence[SiteName]) -> Step:
    """Return what the server optimizer must know of a round whose delta holds these sites."""
    if not _has_variates(plan):
        return Step(plan.aggregation)
    share = sum(one.weight for one in plan.sites if one.site in kept)
    whole = sum(one.weight for one in plan.sites if one.role == "trainer")
    return Step(plan.aggregation, share / whole, plan.local_distance(round_number))


def counted(plan: TrainingPlan, state: RunState, kept: Sequence[SiteName]) -> dict[SiteName, int]:
    """Return the rounds that the sites' variates stand at after this one."""
    if not _has_variates(plan):
        return {}
    return state.server.variates | dict.fromkeys(kept, state.round)


def variate_rounds(plan: TrainingPlan, state: RunState) -> dict[SiteName, VariateRounds]:
    """Return what a train request says of each site's variate."""
    if not _has_variates(plan):
        return {}
    now, accepted = state.server.variates, state.accepted.server.variates
    return {
        one.site: VariateRounds(counted=now.get(one.site, 0), accepted=accepted.get(one.site, 0))
        for one in plan.sites
    }


def _has_variates(plan: TrainingPlan) -> bool:
    return plan.aggregation.row.server == "variates"
