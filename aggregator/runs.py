"""Starting, resuming and closing a run.

* A run is a folder: its plan, its states, its spool. It exists once its first state is saved.
* The initial arrays must have the digest that the plan names; their file also fixes the layout.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from aggregator.checkpoints.registry import Run as RunEntry
from aggregator.collection import close
from aggregator.exchange import Exchange
from aggregator.federation import Federation
from aggregator.recovery import taken_up
from aggregator.requests import close_request
from aggregator.rounds import conducted, is_over
from aggregator.run_state import AcceptedModel, RunState, ServerArrays, StateFile
from aggregator.running import Run, asking
from aggregator.vectors import Vectors
from schemas.audit.events import Facts, ReleaseDecided, RunClosed, RunOpened
from schemas.audit.lines import read_facts
from schemas.checkpoint import CheckpointManifest
from schemas.contract import DataContract
from schemas.errors import FederationError, InputRefused
from schemas.files import write_durably
from schemas.names import Digest, Name, digest_of
from schemas.plan import TrainingPlan
from schemas.protection.ciphertexts import hold_settled
from schemas.protection.settings import Encrypted
from schemas.wire.arrays import declared_layout


@dataclass(frozen=True, slots=True)
class Material:
    """What a study lead hands in: the plan, its contract, and the initial arrays' bytes."""

    plan: TrainingPlan
    contract: DataContract
    initial: bytes


def started(federation: Federation, material: Material) -> Name:
    """Make a run of a plan, ready to be conducted, and return its name.

    Raises:
        InputRefused: the plan is not pinned, the arrays are not the named ones, or a site has not
        joined.
    """
    refuse_unready(federation, material)
    plan = material.plan
    contract, arrays = plan.contract.pinned or "", plan.initial.arrays or ""
    moment = federation.clock()
    stamp = moment[:19].replace("-", "").replace(":", "").replace("T", "-")
    name = f"run-{stamp}-{secrets.token_hex(2)}"
    manifest = CheckpointManifest(
        arrays=arrays,
        federation=federation.config.federation,
        run=name,
        plan=plan.digest,
        contract=contract,
        round=0,
        parent=None,
        trained_from=None,
        sources=(),
        kind="initial",
        created=moment,
    )
    declared_layout(material.initial)
    federation.store.keep_arrays(material.initial)
    federation.store.describe(manifest)
    federation.registry.open_run(
        RunEntry(
            name=name,
            federation=federation.config.federation,
            plan=plan.digest,
            contract=contract,
            opened=moment,
        )
    )
    federation.registry.insert(manifest, status="initial")
    folder = federation.home.runs / name
    write_durably(folder / "contract.json", material.contract.canonical())
    write_durably(folder / "plan.json", plan.canonical())
    server = ServerArrays(iterate=arrays)
    StateFile(folder / "states.jsonl").save(
        RunState(
            run=name,
            plan=plan.digest,
            round=0,
            phase="accepted",
            issued=moment,
            server=server,
            parent=arrays,
            accepted=AcceptedModel(arrays=arrays, round=0, server=server),
        )
    )
    return name


def conduct(
    federation: Federation, name: Name, exchange: Exchange, observe: Callable[[Facts], None]
) -> RunState:
    """Conduct a started or interrupted run to its end and return its last state.

    Raises:
        InputRefused: no such run, or one that has ended.
        QuorumLost: a round was abandoned; the run may be resumed.
        IntegrityLost: a stored state or model does not verify.
    """
    plan, state = stored(federation, name)
    refuse_closed(federation, plan, state)
    layout = declared_layout(federation.store.arrays(plan.initial.arrays or ""))
    folder = federation.home.runs / name
    run = Run(
        federation=federation,
        exchange=exchange,
        plan=plan,
        layout=layout,
        folder=folder,
        vectors=Vectors(folder / "server", layout, federation.store),
        observe=observe,
    )
    run.note(
        RunOpened(
            run=name,
            plan=plan.digest,
            contract=plan.contract.pinned or "",
            initial=plan.initial.arrays or "",
            sites=tuple(one.site for one in plan.sites),
            resumed=state.round > 0,
        )
    )
    try:
        state = conducted(run, taken_up(run, state))
    except FederationError as error:
        _, last = stored(federation, name)
        run.note(_closed(last, reason=error.message))
        raise
    run.spool.remove()
    stopped = state.rejections >= plan.gate.max_rejections
    reason = "too many candidates in a row were rejected" if stopped else "every round is done"
    run.note(_closed(state, reason=reason))
    close(asking(run, close_request(federation, plan, state)))
    run.federation.journal.seal()
    return state


def refuse_closed(federation: Federation, plan: TrainingPlan, state: RunState) -> None:
    """Refuse to go on with a run whose end stands in the journal, and what became of its model.

    Raises:
        InputRefused: it has ended.
    """
    if not is_over(plan, state):
        return
    noted = read_facts(federation.home.journal, RunOpened, RunClosed, ReleaseDecided)
    about = [one for one in noted if getattr(one, "run", None) == state.run]
    last = RunClosed if accepted_digest(state) is None else ReleaseDecided
    if not about or not isinstance(about[-1], last):
        return  # a crash between the last state and the last note
    message = f"run refused: {state.run} has ended, in round {state.round} of {plan.rounds}"
    next_step = (
        f"read it: aggregator audit report --home DIR --run {state.run}; "
        "or start a new run, without --resume"
    )
    raise InputRefused(message, next_step=next_step)


def stored(federation: Federation, name: Name) -> tuple[TrainingPlan, RunState]:
    """Return a run's plan and its present state.

    Raises:
        InputRefused: no such run.
        IntegrityLost: its plan or state is damaged, or of another version of this software.
    """
    folder = federation.home.runs / name
    path = folder / "plan.json"
    known_here = name in run_names(federation)
    state = StateFile(folder / "states.jsonl").last() if known_here else None
    if state is None:
        known = ", ".join(run_names(federation)[-5:]) or "none"
        message = f"run refused: there is no run of this name here; the last ones are: {known}"
        raise InputRefused(message, next_step="name one of them, or start a new run")
    return TrainingPlan.from_stored(path.read_bytes(), what="the run's plan"), state


def run_names(federation: Federation) -> list[Name]:
    """List the runs, oldest first."""
    folder = federation.home.runs
    if not folder.exists():
        return []
    return sorted(path.name for path in folder.iterdir() if (path / "states.jsonl").exists())


def refuse_unready(federation: Federation, material: Material) -> None:
    """Refuse a plan that this federation cannot run as it stands.

    Raises:
        InputRefused: not pinned, another contract or other initial arrays, more ciphertexts than a
        site may be handed, or too few sites have joined.
    """
    plan = material.plan
    if not plan.is_pinned:
        message = "plan refused: its contract and initial arrays are not named by digest"
        raise InputRefused(message, next_step="run: consilium init-weights PLAN")
    if material.contract.digest != plan.contract.pinned:
        message = "contract refused: its digest is not the one that the plan names"
        raise InputRefused(message, next_step="run again: consilium init-weights PLAN")
    if digest_of(material.initial) != plan.initial.arrays:
        message = "initial arrays refused: their digest is not the one that the plan names"
        raise InputRefused(message, next_step="run again: consilium init-weights PLAN")
    if isinstance(plan.protection, Encrypted):
        size = sum(one.size for one in declared_layout(material.initial))
        hold_settled(size, sites=len(plan.trainers))
    roster = federation.roster()
    absent = [one.site for one in plan.sites if roster.member(one.site) is None]
    if len(plan.sites) - len(absent) < plan.participation.quorum:
        message = (
            f"run refused: {', '.join(absent)} of the plan's sites have not joined; "
            f"the plan needs {plan.participation.quorum}"
        )
        raise InputRefused(
            message, next_step="enrol the sites, or pass their homes with --node DIR"
        )


def accepted_digest(state: RunState) -> Digest | None:
    """Name the accepted model; None while only the initial one stands."""
    return state.accepted.arrays if state.accepted.round > 0 else None


def _closed(state: RunState, *, reason: str) -> RunClosed:
    return RunClosed(run=state.run, accepted=accepted_digest(state), reason=reason)
