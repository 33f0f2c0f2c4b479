"""Handing the accepted model to the hospitals, once a run is over.

* A model that misses the plan's release criteria is not released: no packet of it is made, and the
  decision is in the journal with its checks.
* The release is signed once and stored with the run; every site gets the same bytes, again after a
  crash too.
* A run is over once its end is in the journal, and the decision on its model; until then it is
  taken up again. What a crash kept from a site after that, the site gets as a file.
* Every site of the plan gets it, evaluators as well. A site that does not answer in time is noted,
  and gets the model as a file.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aggregator.audit.exchange import show
from aggregator.exchange import Exchange
from aggregator.federation import Federation
from aggregator.gates.bounds import for_release
from aggregator.gates.evidence import metrics_of
from aggregator.rounds import is_over
from aggregator.run_state import RunState
from aggregator.runs import run_names, stored
from schemas.audit.events import (
    Facts,
    ModelDelivered,
    Quarantined,
    ReleaseDecided,
    ReplyMissing,
    VerdictGiven,
)
from schemas.audit.lines import read_facts
from schemas.checkpoint import CheckpointManifest
from schemas.contract import DataContract
from schemas.enrolment import Member
from schemas.errors import CheckpointDamaged, EnvelopeRefused, InputRefused
from schemas.files import write_durably
from schemas.gate import Verdict
from schemas.names import Name, SiteName, digest_of
from schemas.plan import TrainingPlan
from schemas.release import ModelRelease, Receipt
from schemas.wire.envelope import opened, signed
from schemas.wire.packet import Packet


@dataclass(frozen=True, slots=True)
class Handover:
    """A run that is over, and who watches."""

    federation: Federation
    plan: TrainingPlan
    state: RunState
    observe: Callable[[Facts], None]

    @property
    def place(self) -> dict[str, Any]:
        """What every event of a delivery names."""
        return {"run": self.state.run, "round": self.state.accepted.round}

    def note(self, facts: Facts) -> None:
        """Write an event to the journal and show it to who watches."""
        self.federation.journal.append(facts)
        self.observe(facts)


def deliver(
    federation: Federation, run: Name, exchange: Exchange, observe: Callable[[Facts], None]
) -> tuple[SiteName, ...]:
    """Release a run's accepted model to every site of the plan; name those that hold it now.

    None of them, if it is not released.

    Raises:
        InputRefused: no such run, or one that is not over.
    """
    plan, state = stored(federation, run)
    if not is_over(plan, state):
        message = f"delivery refused: run {run} is in round {state.round} of {plan.rounds}"
        next_step = f"type the command that began it again, with --resume {run}"
        raise InputRefused(message, next_step=next_step)
    handover = Handover(federation, plan, state, observe)
    if not _is_released(handover):
        return ()
    _, packet = released(federation, run)
    held = _handed_out(handover, packet, exchange)
    federation.journal.seal()
    return held


def released(federation: Federation, run: Name) -> tuple[ModelRelease, Packet]:
    """Return the release of a run, as it was signed.

    Raises:
        InputRefused: the run released no model.
        CheckpointDamaged: the release or the model's bytes are not the signed ones.
    """
    path = _path(federation.home.runs / run)
    if not path.exists():
        message = f"release refused: run {run} has released no model"
        next_step = "see what was accepted, and why: aggregator checkpoint list --home DIR"
        raise InputRefused(message, next_step=next_step)
    envelope = path.read_bytes()
    try:
        found = opened(envelope, ModelRelease, key=federation.roster().signers)
    except EnvelopeRefused:
        message = f"release refused: that of run {run} is not as it was signed"
        raise CheckpointDamaged(message, next_step="restore it from a backup") from None
    return found, Packet(envelope, federation.store.arrays(found.manifest.arrays))


def released_model(federation: Federation, text: str) -> tuple[ModelRelease, Packet]:
    """Return the newest release of the model whose digest begins so.

    Raises:
        InputRefused: no released model's digest begins so, or several do.
        CheckpointDamaged: as for `released`.
    """
    wanted = text.removeprefix("sha256:")
    names = [name for name in run_names(federation) if _path(federation.home.runs / name).exists()]
    found = {
        release.manifest.arrays: (release, packet)
        for release, packet in (released(federation, name) for name in names)
        if wanted and release.manifest.arrays.removeprefix("sha256:").startswith(wanted)
    }
    if len(found) != 1:
        message = f"export refused: {len(found)} released models have this digest, one is needed"
        next_step = "only released models leave: aggregator checkpoint list --home DIR"
        raise InputRefused(message, next_step=next_step)
    return next(iter(found.values()))


def deliveries(
    federation: Federation, run: Name
) -> tuple[tuple[SiteName, ...], ReleaseDecided | None]:
    """Return who holds a run's released model, by the journal, and the decision on it."""
    held: set[SiteName] = set()
    decision = None
    for facts in read_facts(federation.home.journal, ReleaseDecided, ModelDelivered):
        match facts:
            case ReleaseDecided(run=of) if of == run:
                decision = facts
            case ModelDelivered(run=of, site=site) if of == run:
                held.add(site)
            case _:
                pass
    return tuple(sorted(held)), decision


def _is_released(handover: Handover) -> bool:
    """Hold the accepted model against the release criteria; sign its release the first time.

    The release is on disk before the decision is noted: a run without that note is taken up again.
    """
    federation, state = handover.federation, handover.state
    if state.accepted.round == 0:
        return False
    decision = _decision(handover)
    path = _path(federation.home.runs / state.run)
    if decision.is_released and not path.exists():
        write_durably(path, signed(_made(handover, decision), federation.key))
    if decision not in read_facts(federation.home.journal, ReleaseDecided):
        handover.note(decision)
    return decision.is_released


def _handed_out(handover: Handover, packet: Packet, exchange: Exchange) -> tuple[SiteName, ...]:
    """Send a release to every site and take in the receipts."""
    roster = handover.federation.roster()
    sites = tuple(sorted(one.site for one in handover.plan.sites))
    held: list[SiteName] = []
    deadline_s = handover.plan.participation.deadline_s
    shown = show(handover.federation, roster, needed=handover.plan.participation.quorum)
    sent = replace(packet, audit=shown.canonical())
    for site, reply in exchange(sent, sites, deadline_s=deadline_s):
        expected = _expected(handover, packet, site)
        try:
            _hold_receipt(reply, expected, roster.member(site))
        except EnvelopeRefused as error:
            reason = error.message
            handover.note(
                Quarantined(**handover.place, site=site, check="receipt", reason=reason)
                if reply
                else ReplyMissing(**handover.place, request=_request(handover), site=site)
            )
            continue
        held.append(site)
        handover.note(
            ModelDelivered(
                **handover.place, site=site, arrays=expected.arrays, release=expected.release
            )
        )
    return tuple(sorted(held))


def _hold_receipt(reply: Packet | None, expected: Receipt, member: Member | None) -> None:
    """Hold one site's answer against the only one that counts.

    Raises:
        EnvelopeRefused: none came, from nobody in the roster, of another signer, or about another
        model.
    """
    if reply is None or member is None:
        message = "receipt refused: none came, or the site is not in the roster"
        raise EnvelopeRefused(message)
    if opened(reply.envelope, Receipt, key=member.key) != expected:
        message = "receipt refused: it is about another model, or of another site"
        raise EnvelopeRefused(message)


def _expected(handover: Handover, packet: Packet, site: SiteName) -> Receipt:
    return Receipt(
        federation=handover.federation.config.federation,
        run=handover.state.run,
        site=site,
        release=digest_of(packet.envelope),
        arrays=handover.state.accepted.arrays,
    )


def _request(handover: Handover) -> Name:
    return f"{handover.state.run}.{handover.state.accepted.round}.deliver"


def _decision(handover: Handover) -> ReleaseDecided:
    plan, accepted = handover.plan, handover.state.accepted
    metrics = metrics_of(plan, accepted.histograms)
    checks = for_release(metrics, criteria=plan.release, gate=plan.gate)
    return ReleaseDecided(
        **handover.place,
        arrays=accepted.arrays,
        is_released=all(one.outcome == "accepted" for one in checks),
        checks=checks,
    )


def _made(handover: Handover, decision: ReleaseDecided) -> ModelRelease:
    federation, state = handover.federation, handover.state
    content = (federation.home.runs / state.run / "contract.json").read_bytes()
    return ModelRelease(
        federation=federation.config.federation,
        manifest=_manifest(federation, state),
        verdict=_verdict(federation, state),
        checks=decision.checks,
        plan=handover.plan,
        contract=DataContract.from_canonical(content),
        issued=state.issued,
    )


def _manifest(federation: Federation, state: RunState) -> CheckpointManifest:
    """Return the accepted model's manifest, as the registry names it."""
    accepted = (state.accepted.round, state.accepted.arrays)
    for one in federation.registry.checkpoints(state.run):
        if (one.round, one.arrays) == accepted:
            return federation.store.manifest(one.manifest)
    message = "release refused: the registry does not know the accepted model"
    raise CheckpointDamaged(message, next_step="restore the registry from a backup")


def _verdict(federation: Federation, state: RunState) -> Verdict:
    for facts in read_facts(federation.home.journal, VerdictGiven):
        if isinstance(facts, VerdictGiven) and facts.run == state.run:
            verdict = facts.verdict
            if (verdict.candidate, verdict.outcome) == (state.accepted.arrays, "accepted"):
                return verdict
    message = "release refused: the journal holds no verdict that accepted the model"
    raise CheckpointDamaged(message, next_step="restore the journal from a backup")


def _path(folder: Path) -> Path:
    return folder / "release.json"
