"""One exchange of masking at this hospital: verify, take one step, store the reply, answer.

* The terms are of this hospital's own copy of the plan, and of its policy.
* Adverts and agreements are the sites' own, signed for this very attempt; what the aggregator says
  of them counts for nothing.
* An exchange of an attempt has one request and one answer, also after a restart. A later attempt
  begins anew with fresh secrets, and never once this site has unmasked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, assert_never

import numpy as np

from hospital_node.node import Node
from hospital_node.policy import approved_plan
from hospital_node.protection import masking
from hospital_node.protection.room import Room, room_of
from hospital_node.replies import Slot
from schemas.audit.events import ExchangeAnswered, ExchangeReceived
from schemas.audit.lines import read_facts
from schemas.enrolment import Roster
from schemas.errors import EnvelopeRefused
from schemas.names import Digest, SiteName, digest_of
from schemas.plan import TrainingPlan
from schemas.protection.agreement import BOX_BYTES, PublicKeys
from schemas.protection.fixed_point import Elements, encoded, encoded_counts
from schemas.protection.messages import (
    Advert,
    Agreement,
    Boxes,
    MaskedInput,
    MaskingRequest,
    Unmasking,
    unframed,
)
from schemas.protection.terms import Terms, share_of, terms_of
from schemas.update import Histogram
from schemas.wire.arrays import declared_layout, flat_values
from schemas.wire.envelope import opened, signed
from schemas.wire.packet import Packet

R = TypeVar("R", Advert, Agreement)


@dataclass(frozen=True, slots=True)
class _Step:
    """One exchange at this site."""

    node: Node
    request: MaskingRequest
    parts: list[bytes]
    """What came beside the request."""
    plan: TrainingPlan
    terms: Terms
    room: Room
    roster: Roster

    @property
    def site(self) -> SiteName:
        """This site."""
        return self.node.config.site


def exchanged(node: Node, request: MaskingRequest, packet: Packet) -> Packet:
    """Answer one exchange; the same request gets the stored bytes again.

    Raises:
        EnvelopeRefused: anything that does not fit the terms, or another request for an exchange
        that was answered.
        PlanNotApproved: the plan is not approved here any more.
    """
    room = room_of(node.home, request.run, request.plan, at=(request.round, request.purpose))
    exchange = f"{request.purpose}-{request.attempt}-{request.exchange}"
    slot, replies = Slot(request.run, request.round, exchange), room.replies
    stored = replies.stored(slot, packet.envelope, key=node.key.public)
    node.journal.append(_received(request, repeated=stored is not None))
    if stored is not None:
        if request.exchange == "unmask":
            room.erase()
        noted = tuple(read_facts(node.home.journal, ExchangeAnswered))
        answered = _answered(request, stored)
        if answered not in noted:
            node.journal.append(answered)
        return stored
    plan, policy = approved_plan(node.home, request.plan, site=node.config.site)
    step = _Step(
        node=node,
        request=request,
        parts=unframed(packet.body),
        plan=plan,
        terms=_terms(plan, request, least=policy.masking.least_survivors),
        room=room,
        roster=node.membership()[1],
    )
    reply = _taken(step)
    replies.store(slot, packet.envelope, reply)
    if request.exchange == "unmask":
        room.erase()
    node.journal.append(_answered(request, reply))
    return reply


def _taken(step: _Step) -> Packet:
    """Take one step of this site's part."""
    match step.request.exchange:
        case "advertise":
            return _advertised(step)
        case "share":
            return _shared(step)
        case "input":
            return _given(step)
        case "agree":
            return _agreed(step)
        case "unmask":
            return _unmasked(step)
        case _:
            assert_never(step.request.exchange)


def _advertised(step: _Step) -> Packet:
    """Begin an attempt with fresh keys."""
    step.room.value(step.request.model)
    if step.room.has_unmasked(step.request.run):
        raise _refused("this site has unmasked a sum of this round already")
    if step.room.has_part() and step.room.part().context.attempt > step.request.attempt:
        raise _refused("a later attempt has begun already")
    part = masking.begun(step.request.context, step.site)
    step.room.keep_part(part)
    return Packet(signed(Advert(**_bound(step), keys=part.public), step.node.key))


def _shared(step: _Step) -> Packet:
    """Share seed and mask key with those whose signed adverts came."""
    sites, keys = step.request.participants, dict[SiteName, PublicKeys]()
    for site, advert in zip(sites, _verified(step, sites, Advert), strict=True):
        keys[site] = advert.keys
    part, boxes = masking.shared(step.room.part(), step.terms, keys)
    step.room.keep_part(part)
    reply = Boxes(**_bound(step), sites=tuple(sorted(keys)), arrays=digest_of(boxes))
    return Packet(signed(reply, step.node.key), boxes)


def _given(step: _Step) -> Packet:
    """Put this site's value under its masks."""
    part, sites = step.room.part(), step.request.participants
    if len(step.parts) != len(set(sites)):
        raise _refused("the boxes that came are not one set of each site")
    boxes = {}
    for site, content in zip(sites, step.parts, strict=True):
        others = sorted(part.keys.keys() - {site})
        if site != step.site and step.site in others:
            start = BOX_BYTES * others.index(step.site)
            boxes[site] = content[start : start + BOX_BYTES]
    vector = _vector(step)
    part = masking.masked(part, step.terms, boxes, vector)
    step.room.keep_part(part)
    body = vector.tobytes()
    reply = MaskedInput(**_bound(step), sites=tuple(sorted(part.held)), arrays=digest_of(body))
    return Packet(signed(reply, step.node.key), body)


def _agreed(step: _Step) -> Packet:
    """Agree to the survivors, once."""
    part = masking.agreed(step.room.part(), step.terms, step.request.participants)
    step.room.keep_part(part)
    return Packet(signed(Agreement(**_bound(step), survivors=part.survivors), step.node.key))


def _unmasked(step: _Step) -> Packet:
    """Give one share of each site, since enough have signed the same survivors."""
    part, sites = step.room.part(), step.request.participants
    for one in _verified(step, sites, Agreement):
        if one.survivors != part.survivors:
            raise _refused(f"{one.site} has agreed to another set of survivors than this site")
    shares = masking.unmasked(part, step.terms, sites)
    reply = Unmasking(**_bound(step), survivors=part.survivors, arrays=digest_of(shares))
    return Packet(signed(reply, step.node.key), shares)


def _verified(step: _Step, sites: Sequence[SiteName], kind: type[R]) -> list[R]:
    """Open each site's envelope under its roster key, and hold it against this attempt.

    Raises:
        EnvelopeRefused: one is missing, twice there, of another site or attempt, or not signed.
    """
    if len(set(sites)) != len(sites) or len(sites) != len(step.parts):
        raise _refused("what came is not one signed word of each site")
    found: list[R] = []
    for site, envelope in zip(sites, step.parts, strict=True):
        member = step.roster.member(site)
        if member is None:
            raise _refused(f"{site} is not in the roster")
        one = opened(envelope, kind, key=member.key)
        if (one.site, one.context) != (site, step.terms.context):
            raise _refused(f"what came of {site} is of another site or attempt")
        found.append(one)
    return found


def _vector(step: _Step) -> Elements:
    """Encode this site's value."""
    value = step.room.value(step.request.model)
    if step.request.purpose == "evaluate":
        counts = Histogram.from_stored(value, what="this site's histogram").counts
        return encoded_counts(np.array(counts, dtype=np.int64).reshape(-1))
    values = flat_values(value, declared_layout(value))
    return encoded(values, step.terms.ring, share=share_of(step.plan, step.site))


def _terms(plan: TrainingPlan, request: MaskingRequest, *, least: int) -> Terms:
    try:
        return terms_of(plan, request.context, least=least)
    except ValueError:
        message = "masking refused: the plan does not mask what is asked for"
        raise EnvelopeRefused(message, next_step="ask the aggregator which plan it runs") from None


def _bound(step: _Step) -> dict[str, Any]:
    """Return what every reply is bound to."""
    fields = {"federation", "run", "plan", "round", "request", "purpose", "model", "attempt"}
    head = step.node.journal.head()
    return {**step.request.model_dump(include=fields), "site": step.site, "head": head}


def _received(request: MaskingRequest, *, repeated: bool) -> ExchangeReceived:
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


def _answered(request: MaskingRequest, reply: Packet) -> ExchangeAnswered:
    arrays: Digest | None = digest_of(reply.body) if request.exchange == "input" else None
    return ExchangeAnswered(
        run=request.run,
        round=request.round,
        request=request.request,
        reply=digest_of(reply.envelope),
        arrays=arrays,
        size_bytes=len(reply.envelope) + len(reply.body),
    )


def _refused(found: str) -> EnvelopeRefused:
    message = f"masking refused: {found}"
    next_step = "nothing was opened; resume the run, which begins a fresh attempt"
    return EnvelopeRefused(message, next_step=next_step)
