"""What stands before a run: who is here, and whom the caps will stop.

* A home that the plan does not name is refused: it would hear of requests that are not for it.
* A run that must end without a verdict is refused before it charges anybody.
* What is only likely to hurt, such as a missing site, is said and goes on.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from aggregator.run_state import RunState
from hospital_node.config import NodeHome, load_config
from hospital_node.node import Node
from hospital_node.policy import load_policy
from hospital_node.privacy.forecast import Forecast, forecast
from hospital_node.privacy.ledger import Ledger
from schemas.errors import FederationError, InputRefused, PolicyRefused
from schemas.names import SiteName
from schemas.plan import TrainingPlan


def refuse_unnamed(plan: TrainingPlan, homes: Sequence[Path]) -> None:
    """Refuse homes of sites that the plan does not name; one that cannot be read is left to others.

    Raises:
        InputRefused: at least one is not the plan's.
    """
    strange = []
    for home in homes:
        try:
            site = load_config(NodeHome(home)).site
        except (FederationError, OSError, UnicodeDecodeError):
            continue
        if plan.site(site) is None:
            strange.append(site)
    if strange:
        message = (
            f"run refused: the plan does not name {', '.join(sorted(strange))}, "
            f"it names {', '.join(one.site for one in plan.sites)}"
        )
        raise InputRefused(message, next_step="leave these homes out, or name another plan")


def absences(plan: TrainingPlan, present: Mapping[SiteName, Node]) -> str | None:
    """Say which of the plan's sites are not here, and what that leaves; None when all are.

    Raises:
        InputRefused: fewer are here than the quorum; every round would be abandoned.
    """
    absent = [one.site for one in plan.sites if one.site not in present]
    if not absent:
        return None
    here, needed = len(set(plan.trainers) - set(absent)), plan.participation.quorum
    if here < needed:
        message = (
            f"run refused: {', '.join(absent)} of the plan's sites are not here; "
            f"{here} would train, the plan needs {needed}"
        )
        raise InputRefused(message, next_step="pass their homes too: --node DIR, once for each")
    spare = here - needed
    return (
        f"{', '.join(absent)} of the plan's sites are not here; {here} can train, the quorum is "
        f"{needed}, so {spare or 'none'} of them may fail"
    )


def rounds_done(state: RunState) -> int:
    """Return how many rounds of a run have ended for good; an abandoned one is opened again."""
    ended = state.phase in {"accepted", "rolled-back", "provisional"}
    return state.round if ended else state.round - 1


def forecasts(
    nodes: Mapping[SiteName, Node], plan: TrainingPlan, *, state: RunState | None
) -> dict[SiteName, Forecast]:
    """Price what is left of a run at each site; all of the plan where none has begun."""
    found = {}
    for site, node in nodes.items():
        limit = load_policy(node.home).limit
        with Ledger(node.home.ledger) as ledger:
            entries = ledger.entries()
        done = 0 if state is None else rounds_done(state)
        paid = {
            (one.part, one.round)
            for one in entries
            if state is not None and one.run == state.run and one.round > done
        }
        found[site] = forecast(
            plan, entries, limit=limit.epsilon, delta=limit.delta, site=site, done=done, paid=paid
        )
    return found


def cap_refusals(ahead: Mapping[SiteName, Forecast]) -> list[str]:
    """Say for each site whose cap will end its part in the plan, and from which round on."""
    return [
        f"{site} will refuse from round {one.refused} on: its cap is epsilon {one.limit:g}, and "
        f"{max(one.before.train, one.before.validation):.3f} of it is spent"
        for site, one in ahead.items()
        if one.refused is not None
    ]


def refuse_unjudged(plan: TrainingPlan, ahead: Mapping[SiteName, Forecast]) -> None:
    """Refuse a run whose caps leave too few sites for every judged round that is to come.

    Raises:
        PolicyRefused: none of them can be reached, or none can be judged.
    """
    priced = {site: {one.round: one for one in its.rounds} for site, its in ahead.items()}
    left = {number for its in priced.values() for number in its}
    first = next((one for one in plan.evaluation.rounds if one in left), None)
    if first is None:
        return
    standing = {site: (its[first], ahead[site].limit) for site, its in priced.items()}
    training = sum(
        one.train <= limit for site, (one, limit) in standing.items() if site in plan.trainers
    )
    judging = sum(one.validation <= limit for one, limit in standing.values())
    needed, judges = plan.participation.quorum, plan.gate.min_sites
    if training >= needed and judging >= judges:
        return
    message = (
        f"run refused: the caps leave {training} sites to train and {judging} to evaluate in "
        f"round {first}, the next that is judged; the plan needs {needed} and {judges}"
    )
    next_step = (
        "plan fewer or noisier rounds; each hospital sees its own figures with "
        "hospital-node budget forecast PLAN --home DIR"
    )
    raise PolicyRefused(message, next_step=next_step)
