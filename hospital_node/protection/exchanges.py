"""One exchange of masking or encryption at this hospital: verify, take one step, store, answer.

* Protocol and terms are of this hospital's own copy of the plan, and of its policy.
* An exchange of an attempt has one request and one answer, also after a restart. A later attempt
  begins anew with fresh secrets, and never once this site has unmasked.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from hospital_node.node import Node
from hospital_node.policy import approved_plan
from hospital_node.protection import encryption_steps, masking_steps
from hospital_node.protection.given import hold_peers
from hospital_node.protection.room import room_of
from hospital_node.protection.step import Step
from hospital_node.replies import Slot
from schemas.audit.events import ExchangeAnswered, ExchangeReceived
from schemas.audit.lines import read_facts
from schemas.errors import EnvelopeRefused
from schemas.names import Digest, digest_of
from schemas.plan import TrainingPlan
from schemas.protection.messages import EXCHANGES, Exchange, ExchangeRequest, unframed
from schemas.protection.terms import Terms, terms_of
from schemas.wire.packet import Packet

STEPS: Mapping[Exchange, Callable[[Step], Packet]] = MappingProxyType(
    {
        "advertise": masking_steps.advertised,
        "share": masking_steps.shared,
        "input": masking_steps.given,
        "agree": masking_steps.agreed,
        "unmask": masking_steps.unmasked,
        "announce": encryption_steps.announced,
        "deal": encryption_steps.dealt,
        "encrypt": encryption_steps.encrypted,
        "settle": encryption_steps.settled,
        "open": encryption_steps.opened,
    }
)
_LAST: tuple[Exchange, ...] = ("unmask", "open")
"""After which this site has nothing more to give in a round."""
_VALUES: tuple[Exchange, ...] = ("input", "encrypt")
"""In which this site's value leaves, under masks or encrypted."""


def exchanged(node: Node, request: ExchangeRequest, packet: Packet) -> Packet:
    """Answer one exchange; the same request gets the stored bytes again.

    Raises:
        EnvelopeRefused: anything that does not fit the terms, or another request for an exchange
        that was answered.
        PlanNotApproved: the plan is not approved here any more.
    """
    room = room_of(node.home, request.run, request.plan, at=(request.round, request.purpose))
    exchange = f"{request.purpose}-{request.attempt}-{request.exchange}"
    slot, replies = Slot(request.run, request.round, exchange), room.replies
    stored = replies.stored(slot, packet.envelope, key=node.keys)
    node.journal.append(_received(request, repeated=stored is not None))
    if stored is not None:
        if request.exchange in _LAST:
            room.erase()
        noted = tuple(read_facts(node.home.journal, ExchangeAnswered))
        answered = _answered(request, stored)
        if answered not in noted:
            node.journal.append(answered)
        return stored
    plan, policy = approved_plan(node.home, request.plan, site=node.config.site)
    roster = node.membership()[1]
    hold_peers(node, request, roster)
    step = Step(
        node=node,
        request=request,
        parts=unframed(packet.body),
        plan=plan,
        terms=_terms(plan, request, least=policy.sums.least_survivors),
        room=room,
        roster=roster,
    )
    reply = STEPS[request.exchange](step)
    replies.store(slot, packet.envelope, reply)
    if request.exchange in _LAST:
        room.erase()
    node.journal.append(_answered(request, reply))
    return reply


def _terms(plan: TrainingPlan, request: ExchangeRequest, *, least: int) -> Terms:
    protection = plan.protection.kind if request.purpose == "train" else plan.evaluation.protection
    if request.exchange not in EXCHANGES.get(protection, ()):
        verb = "mask" if request.exchange in EXCHANGES["masked"] else "encrypt"
        message = f"sum refused: the plan does not {verb} what is asked for"
        raise EnvelopeRefused(message, next_step="ask the aggregator which plan it runs")
    return terms_of(plan, request.context, least=least)


def _received(request: ExchangeRequest, *, repeated: bool) -> ExchangeReceived:
    return ExchangeReceived(
        run=request.run,
        round=request.round,
        request=request.request,
        purpose=request.purpose,
        attempt=request.attempt,
        exchange=request.exchange,
        arrays=request.arrays,
        sites=request.participants,
        repeated=repeated,
    )


def _answered(request: ExchangeRequest, reply: Packet) -> ExchangeAnswered:
    arrays: Digest | None = digest_of(reply.body) if request.exchange in _VALUES else None
    return ExchangeAnswered(
        run=request.run,
        round=request.round,
        request=request.request,
        reply=digest_of(reply.envelope),
        arrays=arrays,
        size_bytes=len(reply.envelope) + len(reply.body),
    )
