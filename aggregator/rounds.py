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

from aggregator.aggregation.algorithms import candidate
from aggregator.aggregation.variates import counted
from aggregator.checkpoints.store import written
from aggregator.collection import collect_histograms
from aggregator.gates.evidence import verdict_on
from aggregator.gathering import collected, folded, screened
from aggregator.protection import attempts
from aggregator.protection.summing import collect_summed
from aggregator.requests import evaluate_request
from aggregator.run_state import AcceptedModel, Phase, RunState
from aggregator.running import Run, asking
from schemas.audit.events import CheckpointStored, RoundMoved, VerdictGiven
from schemas.checkpoint import CheckpointManifest
from schemas.errors import QuorumLost
from schemas.plan import TrainingPlan

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


def _combine(run: Run, state: RunState) -> RunState:
    """Fold the updates in site order, step the server optimizer, and store the candidate."""
    server, kept = folded(run, state)
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


def _judge(run: Run, state: RunState) -> RunState:
    """Ask for evaluations of the candidate at the plan's judged rounds, and give a verdict."""
    if state.round not in run.plan.evaluation.rounds or state.candidate is None:
        return state.model_copy(update={"phase": "provisional"})
    request = evaluate_request(run.federation, run.plan, state, candidate=state.candidate)
    body = run.federation.store.arrays(state.candidate)
    if run.plan.evaluation.protection == "masked":
        sums = run.sums(state, "evaluate")
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
    "opened": collected,
    "collected": screened,
    "screened": _combine,
    "combined": _judge,
    "judged": _settle,
    "accepted": _open_next,
    "rolled-back": _open_next,
    "provisional": _open_next,
    "abandoned": _open_next,
}


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
        f"then go on: type the command that began it again, with --resume {state.run}"
    )
    return QuorumLost(message, next_step=next_step)
