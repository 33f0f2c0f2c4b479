"""What a round gathers: updates on the spool, or their sum; held against the plan, then folded.

* Under masking there is no update to look at: the sum is held against what sites that keep to the
  plan can give.
* Too few usable updates abandon the round.
"""

from collections.abc import Mapping

from aggregator.aggregation.algorithms import stepped
from aggregator.aggregation.combiners import combined
from aggregator.aggregation.optimizers import ServerState
from aggregator.aggregation.spool import Spool
from aggregator.aggregation.variates import step_of
from aggregator.collection import collect_updates
from aggregator.gates.comparison import faults_together
from aggregator.gates.update_gate import faults_of_sum, norm_of
from aggregator.protection.summing import collect_sum, largest_mean, mean_of
from aggregator.requests import train_request
from aggregator.run_state import Arrived, RunState
from aggregator.running import Run, asking
from schemas.audit.events import Quarantined
from schemas.checkpoint import Source
from schemas.errors import CheckpointDamaged
from schemas.names import Digest, SiteName
from schemas.protection.settings import Open
from schemas.update import Update
from schemas.wire.envelope import opened


def collected(run: Run, state: RunState) -> RunState:
    """Ask for updates; each is checked alone and spooled as it comes."""
    request = train_request(run.federation, run.plan, state)
    spool = run.spool
    body = run.vectors.content(state.server.iterate)
    if state.server.control is not None:
        body += run.vectors.content(state.server.control)
    if not isinstance(run.plan.protection, Open):
        sums = run.sums(state, "train")
        opened_sum = collect_sum(asking(run, request), sums, body=body)
        return state.model_copy(update={"phase": "collected", "opened": opened_sum})
    before = [_arrived(run, spool, site) for site in spool.sites()]
    arrived = collect_updates(asking(run, request), spool, body=body, before=before)
    return state.model_copy(update={"phase": "collected", "arrived": arrived})


def _arrived(run: Run, spool: Spool, site: SiteName) -> Arrived:
    """Return what a round needs of an update that was spooled before a crash."""
    norm = norm_of(spool.body(site), run.layout)
    return Arrived(site=site, arrays=spooled(run, spool, site).arrays, norm=norm)


def screened(run: Run, state: RunState) -> RunState:
    """Hold the spooled updates against each other; leave out the faulty, or abandon the round."""
    if not isinstance(run.plan.protection, Open):
        return _screen_sum(run, state)
    norms = {one.site: one.norm for one in state.arrived}
    faults = faults_together(run.spool, norms, run.plan.update_gate)
    for site, fault in sorted(faults.items()):
        run.note(
            Quarantined(
                run=state.run, round=state.round, site=site, check=fault.check, reason=fault.reason
            )
        )
    return _named_sources(
        run, state, {one.site: one.arrays for one in state.arrived if one.site not in faults}
    )


def _screen_sum(run: Run, state: RunState) -> RunState:
    """Hold the opened sum against what sites that keep to the plan can give, or abandon."""
    if state.opened is None:
        return _named_sources(run, state, {})
    mean = mean_of(state.opened, run.sums(state, "train"), run.plan)
    faults = faults_of_sum(mean, allowed=largest_mean(state.opened, run.plan, mean.size))
    for fault in faults:
        asking(run, train_request(run.federation, run.plan, state)).quarantine(None, fault)
    return _named_sources(run, state, {} if faults else state.opened.inputs)


def _named_sources(run: Run, state: RunState, usable: Mapping[SiteName, Digest]) -> RunState:
    """Name this round's sources by what each sent; too few abandon the round."""
    sources = tuple(
        Source(site=site, update=usable[site], weight=declared.weight)
        for site in sorted(usable)
        if (declared := run.plan.site(site)) is not None
    )
    enough = len(sources) >= run.plan.participation.quorum
    phase = "screened" if enough else "abandoned"
    return state.model_copy(update={"phase": phase, "sources": sources})


def spooled(run: Run, spool: Spool, site: SiteName) -> Update:
    """Return a site's signed word about what it spooled.

    Raises:
        CheckpointDamaged: the site is not in the roster any more.
        EnvelopeRefused: the spooled envelope is not the site's.
    """
    member = run.federation.roster().member(site)
    if member is None:
        message = f"spool refused: {site} is not in the roster any more"
        raise CheckpointDamaged(message, next_step="start a new run")
    return opened(spool.envelope(site), Update, key=member.signers)


def folded(run: Run, state: RunState) -> tuple[ServerState, tuple[SiteName, ...]]:
    """Return the server's next state and the sites in it; the combined delta is dropped."""
    weights = {one.site: one.weight for one in state.sources}
    if state.opened is not None:
        sums = run.sums(state, "train")
        delta, kept = mean_of(state.opened, sums, run.plan), tuple(sorted(weights))
    else:
        delta, kept = combined(run.spool, weights, run.plan.aggregation.combiner)
    step = step_of(run.plan, state.round, kept)
    return stepped(run.vectors.loaded(state.server), delta, step, round=state.round), kept
