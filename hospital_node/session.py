"""One round at a hospital: the page to read for what this node promises.

1. The request is signed by the aggregator of the joined federation and names this site; its arrays
   are the named ones, and the journal head that it returns is of this journal's own past.
   The head of the aggregator's log, shown with it, continues the one cosigned last.
2. A request answered before gets the stored reply's very bytes; nothing is trained or charged.
3. A person here approved the plan by its digest; the node uses its own copy of the plan. It is
   within the hours that the policy allows; threads and memory are bounded.
4. The cohort is the one that was ingested, under the plan's contract. If the plan needs a report
   on it, a person here let one leave; it goes beside the reply.
5. Enough sites have cosigned the log under which this site's last reply left.
   Ledger and journal are of one state, and privacy is charged to the ledger, on disk, before the
   work touches a patient's image.
6. The reply is signed, and stored whole, before it leaves; then the charge is final.
   Under masking or encryption the reply says that an update may be summed; the update stays, and
   only the exchanges of hospital_node/protection give it to a sum, under masks or encrypted.
7. Any no is a signed refusal with a coarse code; its reason stays in this hospital's journal. Work
   that fails, also for a reason that nobody foresaw, is refused for good, and its charge stands.

A crash between two lines costs at most a charge for something that never left.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from hospital_node.audit.witness import (
    Witnessed,
    cosigned,
    hold_quorum,
    shared,
    shown_in,
    witnessed,
)
from hospital_node.charges import charged, conclude, entry_of, held_ledger
from hospital_node.conformance import hold_reported, standing
from hospital_node.delivery import received
from hospital_node.node import Node
from hospital_node.policy import approved_plan
from hospital_node.privacy.consistency import hold_head
from hospital_node.protection.exchanges import exchanged
from hospital_node.protection.room import clear
from hospital_node.protection.self_check import kept_delta, kept_histogram
from hospital_node.refusals import refusal
from hospital_node.replies import Replies, Slot
from hospital_node.work import Work, evaluated, prepared, trained
from schemas.audit.artefacts import Replied
from schemas.audit.events import ReplySent, RequestReceived, Settled
from schemas.audit.lines import read_facts
from schemas.errors import (
    EnvelopeRefused,
    FederationError,
)
from schemas.names import Digest, Name, digest_of
from schemas.privacy import PrivacyStatement
from schemas.protection.messages import AnyRequest, ExchangeRequest, Purpose, SelfCheck
from schemas.protection.terms import is_summed
from schemas.release import ModelRelease
from schemas.update import (
    Acknowledgement,
    CloseRequest,
    EvaluateRequest,
    Evaluation,
    Refusal,
    Request,
    TrainRequest,
    Update,
)
from schemas.wire.envelope import kind_of, opened, signed
from schemas.wire.packet import Packet

_log = logging.getLogger(__name__)

_ARTEFACTS: dict[Name | None, Replied] = {
    Update.__name__: "update",
    Evaluation.__name__: "histogram",
    SelfCheck.__name__: "self-check",
    Refusal.__name__: "refusal",
}
"""What a reply holds, by the kind of its envelope."""


def answer(node: Node, packet: Packet) -> Packet:
    """Answer one request of the aggregator with an update, an evaluation or a refusal.

    A released model, which asks for nothing, is kept and receipted.

    Raises:
        EnvelopeRefused: the request is not of this federation's aggregator; nobody is owed a signed
        answer.
    """
    if kind_of(packet.envelope) == ModelRelease.__name__:
        return received(node, packet)
    request, shown, witness = _verified(node, packet), shown_in(packet.audit), None
    try:
        witness = witnessed(node, shown)
        reply = _answered(node, request, packet, witness)
    except FederationError as error:
        reply = refusal(node, request, error)
    if witness is not None:
        node.journal.append(*cosigned(node, witness))
    node.journal.seal()
    report = standing(node, request.plan)
    return replace(reply, audit=shared(node, shown, witness, conformance=report))


def unable(node: Node, packet: Packet) -> Packet:
    """Refuse a request whose work raised what nobody foresaw.

    What it reserved stays charged, and the refusal is the reply for good, as in `_outcome`.

    Raises:
        EnvelopeRefused: the request is not of this federation's aggregator.
    """
    request = _verified(node, packet)
    node.warm.clear()  # the failure may have left a network half changed
    message = "request refused: its work failed unexpectedly; this node's log names the place"
    reply = refusal(node, request, FederationError(message))
    if not isinstance(request, ExchangeRequest):
        slot = Slot(request.run, request.round, _purpose(request))
        replies = Replies(node.home.replies)
        with held_ledger(node) as ledger:
            if ledger.status(request.request) == "reserved" and not replies.holds(slot):
                replies.store(slot, packet.envelope, reply)
                conclude(node, ledger, _sent(request, reply, None))
    node.journal.seal()
    return replace(reply, audit=shared(node, shown_in(packet.audit), None))


def _verified(node: Node, packet: Packet) -> AnyRequest:
    membership, roster = node.membership()
    request: AnyRequest
    match kind_of(packet.envelope):
        case CloseRequest.__name__:
            request = opened(packet.envelope, CloseRequest, key=roster.aggregator)
        case ExchangeRequest.__name__:
            request = opened(packet.envelope, ExchangeRequest, key=roster.aggregator)
        case _:
            request = opened(packet.envelope, TrainRequest, EvaluateRequest, key=roster.aggregator)
    if request.federation != membership.federation:
        raise _invalid("it is of another federation")
    if node.config.site not in request.participants:
        raise _invalid("it does not name this site")
    for part, digest in _named(request, packet.body):
        if digest_of(part) != digest:
            raise _invalid("its arrays are not the named ones")
    return request


def _named(request: AnyRequest, body: bytes) -> Iterator[tuple[bytes, Digest]]:
    """Yield what travels beside a request, each part with the digest that it must have."""
    if not isinstance(request, TrainRequest) or request.control is None:
        yield body, request.arrays
    else:
        yield from zip(request.parts(body), (request.arrays, request.control), strict=True)


def _answered(node: Node, request: AnyRequest, packet: Packet, witness: Witnessed) -> Packet:
    if isinstance(request, CloseRequest):
        return _acknowledged(node, request, witness)
    if isinstance(request, ExchangeRequest):
        _hold_head(node, request)
        node.journal.append(*cosigned(node, witness))
        return exchanged(node, request, packet)
    purpose = _purpose(request)
    slot, replies = Slot(request.run, request.round, purpose), Replies(node.home.replies)
    _hold_head(node, request)
    stored = replies.stored(slot, packet.envelope, key=node.keys)
    received = _received(request, purpose, repeated=stored is not None)
    node.journal.append(*cosigned(node, witness), received)
    if stored is not None:
        noted = tuple(read_facts(node.home.journal, ReplySent, Settled))
        with held_ledger(node) as ledger:
            sent = _sent(request, stored, digest_of(stored.body) if stored.body else None)
            conclude(node, ledger, sent, noted=noted)
        return stored
    if replies.last_round(request.run, purpose) > request.round:
        raise _invalid("a later round was answered already")
    plan, policy = approved_plan(node.home, request.plan, site=node.config.site)
    policy.work.hold_hours(node.clock())
    hold_quorum(node, witness, needed=plan.participation.quorum)
    hold_reported(node, plan)
    with policy.work.within_memory():
        work = prepared(node, request, plan, body=packet.body, limits=policy.work)
    with held_ledger(node) as ledger:
        entry = entry_of(request, work)
        statement = None if entry is None else charged(node, ledger, entry, policy)
        reply, arrays = _outcome(node, request, work, statement)
        replies.store(slot, packet.envelope, reply)
        conclude(node, ledger, _sent(request, reply, arrays))
    _log.info("run %s round %d: %s answered", request.run, request.round, purpose)
    return reply


def _acknowledged(node: Node, request: CloseRequest, witness: Witnessed) -> Packet:
    """Note that a run is over, and say so; what matters is the cosignature beside it."""
    _hold_head(node, request)
    node.journal.append(*cosigned(node, witness), _received(request, "close", repeated=False))
    clear(node.home, request.run, request.plan)
    bound = request.model_dump(include={"federation", "run", "plan", "round", "request"})
    site, head = node.config.site, node.journal.head()
    return Packet(signed(Acknowledgement(**bound, site=site, head=head), node.key))


def _hold_head(node: Node, request: AnyRequest) -> None:
    """Hold this journal against its own head that the request returns, if there is one."""
    note = request.heads.get(node.config.site)
    if note is not None:
        origin = f"site/{node.config.site}"
        hold_head(node.journal, note, origin=origin, key=node.keys)


def _outcome(
    node: Node, request: Request, work: Work, statement: PrivacyStatement | None
) -> tuple[Packet, Digest | None]:
    """Work, or refuse for good.

    That work on patients failed is a release like what it would have made: it is said once, and
    the same request never works again.
    """
    try:
        with work.limits.within_memory():
            return _worked(node, request, work, statement)
    except FederationError as error:
        return refusal(node, request, error), None


def _worked(
    node: Node, request: Request, work: Work, statement: PrivacyStatement | None
) -> tuple[Packet, Digest | None]:
    """Train or evaluate, and sign what comes of it; name the arrays beside it, if any.

    Where only a sum is opened what comes of it stays here; the signed word is that it may be
    summed.
    """
    bound = {
        **request.model_dump(include={"federation", "run", "plan", "round", "request"}),
        "site": node.config.site,
        "head": node.journal.head(),
        "privacy": statement,
    }
    if isinstance(request, TrainRequest):
        body = trained(work)
        if is_summed(work.plan, "train"):
            held = kept_delta(node, request, work.plan, body)
            check = SelfCheck(**bound, arrays=request.arrays, bound=held)
            return Packet(signed(check, node.key)), None
        update = Update(**bound, arrays=digest_of(body))
        return Packet(signed(update, node.key), body), update.arrays
    histogram = evaluated(work)
    if is_summed(work.plan, "evaluate"):
        held = kept_histogram(node, request, histogram)
        check = SelfCheck(**bound, arrays=request.arrays, bound=held)
        return Packet(signed(check, node.key)), None
    evaluation = Evaluation(**bound, arrays=request.arrays, histogram=histogram)
    return Packet(signed(evaluation, node.key)), None


def _purpose(request: Request) -> Purpose:
    return "train" if isinstance(request, TrainRequest) else "evaluate"


def _received(
    request: Request, purpose: Literal["train", "evaluate", "close"], *, repeated: bool
) -> RequestReceived:
    return RequestReceived(
        run=request.run,
        round=request.round,
        request=request.request,
        purpose=purpose,
        arrays=request.arrays,
        repeated=repeated,
    )


def _sent(request: Request, reply: Packet, arrays: Digest | None) -> ReplySent:
    return ReplySent(
        run=request.run,
        round=request.round,
        request=request.request,
        artefact=_ARTEFACTS[kind_of(reply.envelope)],
        reply=digest_of(reply.envelope),
        arrays=arrays,
        size_bytes=len(reply.envelope) + len(reply.body),
    )


def _invalid(found: str) -> EnvelopeRefused:
    message = f"request refused: {found}"
    return EnvelopeRefused(message, next_step="ask the aggregator which request it meant")
