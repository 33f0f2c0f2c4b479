"""A run, round by round: the transition table and what happens on each edge.

                 ┌──────────────────────────────────► abandoned
   opened ─► collected ─► screened ─► combined ─► judged ─► accepted | rolled-back | provisional
                                         └──► provisional (a round that the plan does not judge)

* The state is saved before it is acted on, and every edge is one journal event: a crash repeats at
  most one step, and every step gives the same result when repeated.
* A step reads the saved state, the plan and what is on disk; it holds nothing between two calls.
* A rejected candidate leaves the accepted model and its server state untouched, and the next round
  starts from them.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aggregator.aggregation.algorithms import candidate, stepped
from aggregator.aggregation.combiners import combined
from aggregator.aggregation.optimizers import ServerState
from aggregator.aggregation.spool import Spool
from aggregator.aggregation.variates import counted, step_of
from aggregator.asking import Asking
from aggregator.checkpoints.store import written
from aggregator.collection import collect_histograms, collect_updates
from aggregator.exchange import Exchange
from aggregator.federation import Federation
from aggregator.gates.comparison import faults_together
from aggregator.gates.evidence import verdict_on
from aggregator.gates.update_gate import faults_of_sum, norm_of
from aggregator.protection import attempts
from aggregator.protection.attempts import sums_of
from aggregator.protection.summing import collect_sum, collect_summed, largest_mean, mean_of
from aggregator.requests import evaluate_request, train_request
from aggregator.run_state import AcceptedModel, Arrived, Phase, RunState, StateFile
from aggregator.vectors import Vectors
from schemas.audit.events import CheckpointStored, Facts, Quarantined, RoundMoved, VerdictGiven
from schemas.checkpoint import CheckpointManifest, Source
from schemas.errors import CheckpointDamaged, QuorumLost
from schemas.names import Digest, SiteName
from schemas.plan import TrainingPlan
from schemas.protection.settings import Masked
from schemas.update import Request, Update
from schemas.wire.envelope import opened
from schemas.wire.layout import Layout

_log = logging.getLogger(__name__)

EDGES: Mapping[Phase, tuple[Phase, ...]] = {
    "opened": ("collected",),
    "collected": ("screened", "abandoned", "opened"),
    "screened": ("combined", "opened"),
    "combined": ("judged", "provisional"),
    "judged": ("accepted", "rolled-back", "provisional"),
    "accepted": ("opened",),
    "rolled-back": ("opened",),
    "provisional": ("opened",),
    "abandoned": ("opened",),
}
"""Every move that a round may make; the last four end it.

Back to `opened` within a round only after a crash that cost the spool.
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What every step of one run may use."""

    federation: Federation
    exchange: Exchange
    plan: TrainingPlan
    layout: Layout
    folder: Path
    vectors: Vectors
    """The server optimizer's arrays."""
    observe: Callable[[Facts], None]

    @property
    def states(self) -> StateFile:
        """The saved states."""
        return StateFile(self.folder / "states.jsonl")

    @property
    def spool(self) -> Spool:
        """The updates of one round."""
        return Spool(self.folder / "spool", self.layout)

    def note(self, *facts: Facts) -> None:
        """Write events to the journal and show them to who watches."""
        self.federation.journal.append(*facts)
        for one in facts:
            self.observe(one)


def conducted(run: Run, state: RunState) -> RunState:
    """Take a run from its saved state to its end and return the last state.

    Raises:
        QuorumLost: a round was abandoned; the run may be resumed.
    """
    while not is_over(run.plan, state):
        state = moved(run, state, STEPS[state.phase](run, state))
        if state.phase == "abandoned":
            raise _quorum_lost(run, state)
    return state


def is_over(plan: TrainingPlan, state: RunState) -> bool:
    """Say whether every round is done, or too many candidates in a row were rejected."""
    ended = state.phase in {"accepted", "rolled-back", "provisional"}
    return ended and (state.round >= plan.rounds or state.rejections >= plan.gate.max_rejections)


def moved(run: Run, source: RunState, target: RunState) -> RunState:
    """Save the next state and write its edge to the journal.

    Raises:
        AssertionError: the table has no such edge.
    """
    if target.phase not in EDGES[source.phase]:
        message = f"no edge from {source.phase} to {target.phase}"
        raise AssertionError(message)
    run.states.save(target)
    run.note(
        RoundMoved(run=target.run, round=target.round, source=source.phase, target=target.phase)
    )
    if target.phase in {"accepted", "rolled-back", "provisional", "abandoned"}:
        run.vectors.keep({*_arrays_of(target)})
        if target.phase != "abandoned":
            run.spool.clear()
            attempts.clear(run.folder)
        run.federation.journal.seal()
    return target


def _open_next(run: Run, state: RunState) -> RunState:
    """Open the next round from the server's arrays, or an abandoned one with the same requests."""
    again = state.phase == "abandoned"
    if not again:
        run.spool.clear()
    return state.model_copy(
        update={
            "round": state.round if again else state.round + 1,
            "phase": "opened",
            "issued": state.issued if again else run.federation.clock(),
            "arrived": (),
            "opened": None,
            "sources": (),
            "candidate": None,
            "histograms": (),
            "verdict": None,
        }
    )


def _collect(run: Run, state: RunState) -> RunState:
    """Ask for updates; each is checked alone and spooled as it comes."""
    request = train_request(run.federation, run.plan, state)
    spool = run.spool
    body = run.vectors.content(state.server.iterate)
    if state.server.control is not None:
        body += run.vectors.content(state.server.control)
    if isinstance(run.plan.protection, Masked):
        sums = sums_of(run.folder, state.round, "train")
        opened_sum = collect_sum(asking(run, request), sums, body=body)
        return state.model_copy(update={"phase": "collected", "opened": opened_sum})
    before = [_arrived(run, spool, site) for site in spool.sites()]
    arrived = collect_updates(asking(run, request), spool, body=body, before=before)
    return state.model_copy(update={"phase": "collected", "arrived": arrived})


def _arrived(run: Run, spool: Spool, site: SiteName) -> Arrived:
    """Return what a round needs of an update that was spooled before a crash."""
    norm = norm_of(spool.body(site), run.layout)
    return Arrived(site=site, arrays=spooled(run, spool, site).arrays, norm=norm)


def _screen(run: Run, state: RunState) -> RunState:
    """Hold the spooled updates against each other; leave out the faulty, or abandon the round."""
    if isinstance(run.plan.protection, Masked):
        return _screen_sum(run, state)
    norms = {one.site: one.norm for one in state.arrived}
    faults = faults_together(run.spool, norms, run.plan.update_gate)
    for site, fault in sorted(faults.items()):
        run.note(
            Quarantined(
                run=state.run, round=state.round, site=site, check=fault.check, reason=fault.reason
            )
        )
    return _screened(
        run, state, {one.site: one.arrays for one in state.arrived if one.site not in faults}
    )


def _screen_sum(run: Run, state: RunState) -> RunState:
    """Hold the opened sum against what sites that keep to the plan can give, or abandon."""
    if state.opened is None:
        return _screened(run, state, {})
    mean = mean_of(state.opened, sums_of(run.folder, state.round, "train"), run.plan)
    faults = faults_of_sum(mean, allowed=largest_mean(state.opened, run.plan, mean.size))
    for fault in faults:
        asking(run, train_request(run.federation, run.plan, state)).quarantine(None, fault)
    return _screened(run, state, {} if faults else state.opened.inputs)


def _screened(run: Run, state: RunState, usable: Mapping[SiteName, Digest]) -> RunState:
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


def _combine(run: Run, state: RunState) -> RunState:
    """Fold the updates in site order, step the server optimizer, and store the candidate."""
    server, kept = _folded(run, state)
    store = run.federation.store
    content = written(run.layout, candidate(server))
    model = store.keep_arrays(content)
    manifest = CheckpointManifest(
        arrays=model,
        federation=run.federation.config.federation,
        run=state.run,
        plan=state.plan,
        contract=run.plan.contract.pinned or "",
        round=state.round,
        parent=state.parent,
        trained_from=state.server.iterate,
        sources=tuple(one for one in state.sources if one.site in kept),
        kind="candidate",
        created=state.issued,
    )
    store.describe(manifest)
    run.federation.registry.insert(manifest, status="provisional")
    run.note(
        CheckpointStored(
            run=state.run, round=state.round, manifest=manifest.digest, arrays=manifest.arrays
        )
    )
    arrays = run.vectors.saved(server, model=model, content=content)
    return state.model_copy(
        update={
            "phase": "combined",
            "server": arrays.model_copy(update={"variates": counted(run.plan, state, kept)}),
            "candidate": manifest.arrays,
            "parent": manifest.arrays,
        }
    )


def _folded(run: Run, state: RunState) -> tuple[ServerState, tuple[SiteName, ...]]:
    """Return the server's next state and the sites in it; the combined delta is dropped."""
    weights = {one.site: one.weight for one in state.sources}
    if state.opened is not None:
        sums = sums_of(run.folder, state.round, "train")
        delta, kept = mean_of(state.opened, sums, run.plan), tuple(sorted(weights))
    else:
        delta, kept = combined(run.spool, weights, run.plan.aggregation.combiner)
    step = step_of(run.plan, state.round, kept)
    return stepped(run.vectors.loaded(state.server), delta, step, round=state.round), kept


def _judge(run: Run, state: RunState) -> RunState:
    """Ask for evaluations of the candidate at the plan's judged rounds, and give a verdict."""
    if state.round not in run.plan.evaluation.rounds or state.candidate is None:
        return state.model_copy(update={"phase": "provisional"})
    request = evaluate_request(run.federation, run.plan, state, candidate=state.candidate)
    body = run.federation.store.arrays(state.candidate)
    if run.plan.evaluation.protection == "masked":
        sums = sums_of(run.folder, state.round, "evaluate")
        histograms = collect_summed(asking(run, request), sums, body=body)
    else:
        histograms = collect_histograms(asking(run, request), body=body)
    binding = (state.round, state.candidate, state.accepted.arrays)
    verdict = verdict_on(run.plan, histograms, state.accepted.histograms, binding)
    run.note(VerdictGiven(run=state.run, verdict=verdict))
    return state.model_copy(
        update={"phase": "judged", "histograms": histograms, "verdict": verdict}
    )


def _settle(run: Run, state: RunState) -> RunState:
    """Act on the verdict: accept, roll back, or go on without deciding."""
    if state.verdict is None or state.candidate is None:
        message = "a judged state without a verdict"
        raise AssertionError(message)
    run.federation.registry.settle(
        state.run, round=state.round, arrays=state.candidate, status=state.verdict.outcome
    )
    match state.verdict.outcome:
        case "accepted":
            accepted = AcceptedModel(
                arrays=state.candidate,
                round=state.round,
                server=state.server,
                histograms=state.histograms,
            )
            update = {"phase": "accepted", "accepted": accepted, "rejections": 0}
        case "rejected":
            update = {
                "phase": "rolled-back",
                "server": state.accepted.server,
                "parent": state.accepted.arrays,
                "rejections": state.rejections + 1,
            }
        case "inconclusive":
            update = {"phase": "provisional"}
    return state.model_copy(update=update)


STEPS: Mapping[Phase, Callable[[Run, RunState], RunState]] = {
    "opened": _collect,
    "collected": _screen,
    "screened": _combine,
    "combined": _judge,
    "judged": _settle,
    "accepted": _open_next,
    "rolled-back": _open_next,
    "provisional": _open_next,
    "abandoned": _open_next,
}


def asking(run: Run, request: Request) -> Asking:
    """Return a request with what its replies are held against."""
    return Asking(
        federation=run.federation,
        exchange=run.exchange,
        plan=run.plan,
        layout=run.layout,
        request=request,
        roster=run.federation.roster(),
        observe=run.observe,
    )


def _arrays_of(state: RunState) -> list[str]:
    servers = (state.server, state.accepted.server)
    return [name for one in servers for name in one.digests()]


def _quorum_lost(run: Run, state: RunState) -> QuorumLost:
    _log.warning("run %s round %d abandoned", state.run, state.round)
    needed = run.plan.participation.quorum
    message = (
        f"round {state.round} abandoned: {len(state.sources)} usable updates came, "
        f"the plan needs {needed}; the accepted model of round {state.accepted.round} stands"
    )
    next_step = (
        "read which sites refused: aggregator audit report --home DIR; "
        f"then go on: consilium run PLAN --resume {state.run} …"
    )
    return QuorumLost(message, next_step=next_step)
