"""Taking a run up after a crash, from the last state that was saved.

* An edge that the crash kept out of the journal is written there now: each is there once.
* What the spool lost, or holds otherwise than its site signed, is dropped and asked for again; a
  site that answered before answers with the same bytes.
"""

from aggregator.gathering import spooled
from aggregator.protection.summing import mean_of
from aggregator.rounds import moved
from aggregator.run_state import RunState
from aggregator.running import Run
from schemas.audit.events import RoundMoved
from schemas.audit.lines import read_facts
from schemas.errors import CheckpointDamaged, EnvelopeRefused
from schemas.names import SiteName, digest_of
from schemas.protection.settings import Open


def taken_up(run: Run, state: RunState) -> RunState:
    """Return the state to go on from."""
    _note_last_edge(run, state)
    if state.phase not in {"opened", "collected", "screened"}:
        return state
    if not isinstance(run.plan.protection, Open):
        return state if _has_sum(run, state) else _opened_again(run, state)
    spool = run.spool
    whole = {site for site in spool.sites() if _is_whole(run, state, site)}
    for site in set(spool.sites()) - whole:
        spool.drop(site)
    sources = {one.site for one in state.sources}
    if state.phase == "opened" or (state.phase == "screened" and sources <= whole):
        return state
    return _opened_again(run, state)


def _opened_again(run: Run, state: RunState) -> RunState:
    lost = {"phase": "opened", "arrived": (), "opened": None, "sources": ()}
    return moved(run, state, state.model_copy(update=lost))


def _has_sum(run: Run, state: RunState) -> bool:
    """Say whether the round's sum is on disk as it was opened, or no sum was."""
    if state.opened is None:
        return True
    try:
        mean_of(state.opened, run.sums(state, "train"), run.plan)
    except CheckpointDamaged:
        return False
    return True


def _note_last_edge(run: Run, state: RunState) -> None:
    """Write the edge to the saved state to the journal, if a crash came between the two."""
    before = run.states.before_last()
    if before is None:
        return
    edge = RoundMoved(run=state.run, round=state.round, source=before.phase, target=state.phase)
    noted = read_facts(run.federation.home.journal, RoundMoved)
    last = [one for one in noted if isinstance(one, RoundMoved) and one.run == state.run][-1:]
    if last != [edge]:
        run.note(edge)


def _is_whole(run: Run, state: RunState, site: SiteName) -> bool:
    """Say whether a spooled update is the one that its site signed for this round."""
    try:
        update = spooled(run, run.spool, site)
        if (update.run, update.round) != (state.run, state.round):
            return False
        return update.arrays == digest_of(run.spool.body(site))
    except (EnvelopeRefused, CheckpointDamaged, OSError, ValueError):
        return False
