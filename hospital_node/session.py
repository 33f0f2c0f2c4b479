"""One round at a hospital: the page to read for what this node promises.

1. The request is signed by the aggregator of the joined federation and names this site; its arrays
   are the named ones, and the journal head that it returns is of this journal's own past.
   The head of the aggregator's log, shown with it, continues the one cosigned last.
2. A request answered before gets the stored reply's very bytes; nothing is trained or charged.
3. A person here approved the plan by its digest; the node uses its own copy of the plan.
4. The cohort is the one that was ingested, under the plan's contract.
5. Enough sites have cosigned the log under which this site's last reply left.
   Ledger and journal are of one state, and privacy is charged to the ledger, on disk, before the
   work touches a patient's image.
6. The reply is signed, and stored whole, before it leaves; then the charge is final.
7. Any no is a signed refusal with a coarse code; its reason stays in this hospital's journal. Work
   that fails for a reason that nobody foresaw is refused as `unavailable`, and its charge stands.

A crash between two lines costs at most a charge for something that never left.
"""

import logging
from collections.abc import Container, Iterator
from contextlib import contextmanager
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
from hospital_node.delivery import received
from hospital_node.node import Node, installed_code
from hospital_node.policy import Policy, approved_plan
from hospital_node.privacy.consistency import hold_head, hold_ledger
from hospital_node.privacy.ledger import Entry, Ledger
from hospital_node.replies import Purpose, Replies, Slot
from hospital_node.work import Work, evaluated, prepared, trained
from schemas.audit.events import Facts, Refused, ReplySent, RequestReceived, Reserved, Settled
from schemas.audit.journal import read_facts
from schemas.base import Record
from schemas.errors import (
    ArraysRefused,
    BudgetExceeded,
    CohortRefused,
    EnvelopeRefused,
    FederationError,
    HeadRefused,
    InputRefused,
    NotWitnessed,
    PolicyRefused,
)
from schemas.names import Digest, Text, digest_of
from schemas.plan import PatientPrivacy
from schemas.privacy import PrivacyStatement
from schemas.release import ModelRelease
from schemas.update import (
    Acknowledgement,
    CloseRequest,
    EvaluateRequest,
    Evaluation,
    Refusal,
    RefusalCode,
    Request,
    TrainRequest,
    Update,
)
from schemas.wire.envelope import kind_of, opened, signed
from schemas.wire.packet import Packet

_log = logging.getLogger(__name__)


class Reason(Record):
    """Why a request was refused, in full; it stays in this hospital's journal."""

    message: Text


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
        reply = _refusal(node, request, error)
    if witness is not None:
        node.journal.append(*cosigned(node, witness))
    node.journal.seal()
    return replace(reply, audit=shared(node, shown, witness))


def unable(node: Node, packet: Packet) -> Packet:
    """Refuse a request whose work raised what nobody foresaw.

    What it reserved stays charged, and the refusal is the reply for good, as in `_outcome`.

    Raises:
        EnvelopeRefused: the request is not of this federation's aggregator.
    """
    request = _verified(node, packet)
    node.warm.clear()  # the failure may have left a network half changed
    message = "request refused: its work failed unexpectedly; this node's log names the place"
    reply = _refusal(node, request, FederationError(message))
    slot, replies = Slot(request.run, request.round, _purpose(request)), Replies(node.home.replies)
    with _held_ledger(node) as ledger:
        if ledger.status(request.request) == "reserved" and not replies.holds(slot):
            replies.store(slot, packet.envelope, reply)
            _conclude(node, ledger, _sent(request, reply, None))
    node.journal.seal()
    return replace(reply, audit=shared(node, shown_in(packet.audit), None))


def _verified(node: Node, packet: Packet) -> Request:
    membership, roster = node.membership()
    request: Request
    if kind_of(packet.envelope) == CloseRequest.__name__:
        request = opened(packet.envelope, CloseRequest, key=roster.aggregator)
    else:
        request = opened(packet.envelope, TrainRequest, EvaluateRequest, key=roster.aggregator)
    if request.federation != membership.federation:
        raise _invalid("it is of another federation")
    if node.config.site not in request.participants:
        raise _invalid("it does not name this site")
    for part, digest in _named(request, packet.body):
        if digest_of(part) != digest:
            raise _invalid("its arrays are not the named ones")
    return request


def _named(request: Request, body: bytes) -> Iterator[tuple[bytes, Digest]]:
    """Yield what travels beside a request, each part with the digest that it must have."""
    if not isinstance(request, TrainRequest) or request.control is None:
        yield body, request.arrays
    else:
        yield from zip(request.parts(body), (request.arrays, request.control), strict=True)


def _answered(node: Node, request: Request, packet: Packet, witness: Witnessed) -> Packet:
    if isinstance(request, CloseRequest):
        return _acknowledged(node, request, witness)
    purpose = _purpose(request)
    slot, replies = Slot(request.run, request.round, purpose), Replies(node.home.replies)
    _hold_head(node, request)
    stored = replies.stored(slot, packet.envelope, key=node.key.public)
    received = _received(request, purpose, repeated=stored is not None)
    node.journal.append(*cosigned(node, witness), received)
    if stored is not None:
        noted = tuple(read_facts(node.home.journal, ReplySent, Settled))
        with _held_ledger(node) as ledger:
            sent = _sent(request, stored, digest_of(stored.body) if stored.body else None)
            _conclude(node, ledger, sent, noted=noted)
        return stored
    if replies.last_round(request.run, purpose) > request.round:
        raise _invalid("a later round was answered already")
    plan, policy = approved_plan(node.home, request.plan, site=node.config.site)
    hold_quorum(node, witness, needed=plan.participation.quorum)
    work = prepared(node, request, plan, body=packet.body)
    with _held_ledger(node) as ledger:
        entry = _entry(request, work)
        statement = None if entry is None else _charged(node, ledger, entry, policy)
        reply, arrays = _outcome(node, request, work, statement)
        replies.store(slot, packet.envelope, reply)
        _conclude(node, ledger, _sent(request, reply, arrays))
    _log.info("run %s round %d: %s answered", request.run, request.round, purpose)
    return reply


def _acknowledged(node: Node, request: CloseRequest, witness: Witnessed) -> Packet:
    """Note that a run is over, and say so; what matters is the cosignature beside it."""
    _hold_head(node, request)
    node.journal.append(*cosigned(node, witness), _received(request, "close", repeated=False))
    bound = request.model_dump(include={"federation", "run", "plan", "round", "request"})
    site, head = node.config.site, node.journal.head()
    return Packet(signed(Acknowledgement(**bound, site=site, head=head), node.key))


def _hold_head(node: Node, request: Request) -> None:
    """Hold this journal against its own head that the request returns, if there is one."""
    note = request.heads.get(node.config.site)
    if note is not None:
        origin = f"site/{node.config.site}"
        hold_head(node.journal, note, origin=origin, key=node.key.public)


@contextmanager
def _held_ledger(node: Node) -> Iterator[Ledger]:
    """Open the ledger and hold it against the journal."""
    with Ledger(node.home.ledger) as ledger:
        claims = read_facts(node.home.journal, Reserved, Settled, ReplySent)
        hold_ledger(ledger.rows(), claims)
        yield ledger


def _conclude(node: Node, ledger: Ledger, sent: ReplySent, *, noted: Container[Facts] = ()) -> None:
    """Note that a stored reply leaves, then make its charge final.

    What the journal noted before a crash, between two of these lines, is not noted again.
    """
    if sent not in noted:
        node.journal.append(sent)
    if ledger.status(sent.request) is None:
        return
    ledger.commit(sent.request)
    settled = Settled(request=sent.request, outcome="committed")
    if settled not in noted:
        node.journal.append(settled)


def _charged(node: Node, ledger: Ledger, entry: Entry, policy: Policy) -> PrivacyStatement:
    """Write the charge to the ledger and to the journal, or refuse it."""
    if ledger.status(entry.request) == "committed":
        raise _invalid("its reply left before and is not here any more; it is never made again")
    limit = policy.limit
    spent = ledger.reserve(entry, limit=limit.epsilon, delta=limit.delta)
    node.journal.append(
        Reserved(
            request=entry.request,
            part=entry.part,
            event=entry.event,
            max_norm=entry.max_norm,
            spent=spent,
        )
    )
    return PrivacyStatement(
        event=entry.event, max_norm=entry.max_norm, part=entry.part, spent=spent
    )


def _outcome(
    node: Node, request: Request, work: Work, statement: PrivacyStatement | None
) -> tuple[Packet, Digest | None]:
    """Work, or refuse for good.

    That work on patients failed is a release like what it would have made: it is said once, and
    the same request never works again.
    """
    try:
        return _worked(node, request, work, statement)
    except FederationError as error:
        return _refusal(node, request, error), None


def _worked(
    node: Node, request: Request, work: Work, statement: PrivacyStatement | None
) -> tuple[Packet, Digest | None]:
    """Train or evaluate, and sign what comes of it; name the arrays beside it, if any."""
    bound = {
        **request.model_dump(include={"federation", "run", "plan", "round", "request"}),
        "site": node.config.site,
        "head": node.journal.head(),
        "privacy": statement,
    }
    if isinstance(request, TrainRequest):
        body = trained(work)
        update = Update(**bound, arrays=digest_of(body))
        return Packet(signed(update, node.key), body), update.arrays
    evaluation = Evaluation(**bound, arrays=request.arrays, histogram=evaluated(work))
    return Packet(signed(evaluation, node.key)), None


def _entry(request: Request, work: Work) -> Entry | None:
    """Return what the ledger must charge before the work; None for a plan without privacy."""
    plan = work.plan
    if not isinstance(plan.privacy, PatientPrivacy):
        return None
    trains = isinstance(request, TrainRequest)
    event = plan.train_event() if trains else plan.evaluation_event()
    if event is None:
        message = "plan refused: a private plan has an unpriced release"
        raise PolicyRefused(message, next_step="report this plan to the study lead")
    return Entry(
        request=request.request,
        run=request.run,
        plan=request.plan,
        round=request.round,
        part="train" if trains else "validation",
        event=event,
        max_norm=plan.privacy.max_norm if trains else 1.0,
        contract=work.cohort.manifest.contract,
        cohort=work.cohort.digest,
        software=installed_code(),
    )


def _refusal(node: Node, request: Request, error: FederationError) -> Packet:
    """Sign a coarse no; the reason goes to the journal's private part."""
    code = _code(error)
    node.journal.append(
        Refused(run=request.run, round=request.round, request=request.request, code=code),
        private=Reason(message=error.message[:2000]),
    )
    _log.warning("run %s round %d: %s", request.run, request.round, error.message)
    bound = request.model_dump(include={"federation", "run", "plan", "round", "request"})
    site, head = node.config.site, node.journal.head()
    return Packet(signed(Refusal(**bound, site=site, head=head, code=code), node.key))


def _code(error: FederationError) -> RefusalCode:
    match error:
        case BudgetExceeded():
            return "over-budget"
        case PolicyRefused():
            return "not-approved"
        case CohortRefused():
            return "cohort-unfit"
        case EnvelopeRefused() | ArraysRefused() | InputRefused():
            return "request-invalid"
        case NotWitnessed() | HeadRefused():
            return "not-witnessed"
        case _:
            return "unavailable"


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
        reply=digest_of(reply.envelope),
        arrays=arrays,
        size_bytes=len(reply.envelope) + len(reply.body),
    )


def _invalid(found: str) -> EnvelopeRefused:
    message = f"request refused: {found}"
    return EnvelopeRefused(message, next_step="ask the aggregator which request it meant")
