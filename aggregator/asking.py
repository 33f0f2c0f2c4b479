"""Asking sites, and what every reply is held against, whatever it is.

* A reply is known by the roster key that signed it, never by the slot in which it came.
* Each reply brings its site's new events and a cosignature of this log; one that does not, or whose
  log is not the one known, is left out, and a fork is recorded as an incident.
* Where the plan needs a site's conformance report, its replies count only after it came.
* A reply that fails a check is quarantined, named and recorded; the others go on.
* A reply is bound to federation, run, plan, round and request; a site answers a request once.
* The journal head of a release is kept before anything is made of it. That of a refusal is not:
  nothing was released, and a copied home that refuses must not lock out the other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from aggregator.audit.exchange import show, taken
from aggregator.conformance import Said, examined, keep
from aggregator.exchange import Exchange
from aggregator.federation import Federation
from aggregator.gates.update_gate import Fault, faults_of_binding
from aggregator.heads import signed_by
from schemas.audit.events import (
    ExchangeAsked,
    ExchangeReplied,
    Facts,
    Quarantined,
    RefusalReceived,
    ReplyMissing,
    ReplyReceived,
    RequestSent,
)
from schemas.audit.exchange import Shown
from schemas.enrolment import Member, Roster
from schemas.errors import EnvelopeRefused, JournalDamaged, OtherMessages
from schemas.names import SiteName, digest_of
from schemas.plan import TrainingPlan
from schemas.protection.messages import (
    AnyRequest,
    Boxes,
    Ciphertexts,
    Deal,
    ExchangeReply,
    ExchangeRequest,
    MaskedInput,
    Opening,
    SelfCheck,
    Unmasking,
)
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
from schemas.wire.envelope import opened, signed
from schemas.wire.layout import Layout
from schemas.wire.packet import Packet
from schemas.wire.sealing import SealedReply
from schemas.wire.version import hold_version

OTHER_VERSION = "version"
"""The check that a reply of another version of the messages fails."""

Answer: TypeAlias = Update | Evaluation | Acknowledgement | SelfCheck | ExchangeReply
"""What a site may answer, but for a refusal."""

A = TypeVar("A", bound=Answer)

_PURPOSES: Mapping[type[Request], Literal["train", "evaluate", "close"]] = {
    TrainRequest: "train",
    EvaluateRequest: "evaluate",
    CloseRequest: "close",
}


@dataclass(frozen=True, slots=True)
class Asking:
    """One request and what its replies are held against."""

    federation: Federation
    exchange: Exchange
    plan: TrainingPlan
    layout: Layout
    request: AnyRequest
    roster: Roster
    observe: Callable[[Facts], None]

    @property
    def place(self) -> dict[str, Any]:
        """What every event about this request names."""
        return {"run": self.request.run, "round": self.request.round}

    def note(self, *facts: Facts) -> None:
        """Write events to the journal and show them to who watches."""
        self.federation.journal.append(*facts)
        for one in facts:
            self.observe(one)

    def quarantine(self, site: SiteName | None, fault: Fault) -> None:
        """Record that something was left out."""
        reason = fault.reason[:2000]
        self.note(Quarantined(**self.place, site=site, check=fault.check, reason=reason))


@dataclass(frozen=True, slots=True)
class Came:
    """A reply in the slot of a site, and what was shown of the log with the request."""

    site: SiteName
    packet: Packet
    shown: Shown


def replies(
    asking: Asking, sites: Sequence[SiteName], body: bytes, *, again: bool = False
) -> Iterator[Came]:
    """Send one request to these sites and yield what comes; a missing reply is recorded."""
    request = asking.request
    asking.note(_sent(request, tuple(sites)))
    quorum = asking.plan.participation.quorum
    shown = show(asking.federation, asking.roster, needed=quorum, again=again)
    packet = Packet(signed(request, asking.federation.key), body, audit=shown.canonical())
    deadline_s = asking.plan.participation.deadline_s
    for site, reply in asking.exchange(packet, sites, deadline_s=deadline_s):
        if reply is None:
            asking.note(ReplyMissing(**asking.place, request=request.request, site=site))
        else:
            yield Came(site, reply, shown)


def checked(asking: Asking, came: Came, kind: type[A]) -> A | None:
    """Return what came for this request; None where nothing but a recorded fact is left of it."""
    site, reply = came.site, came.packet
    try:
        found = attributed(asking, site, reply, kind)
    except (EnvelopeRefused, OtherMessages) as error:
        check = OTHER_VERSION if isinstance(error, OtherMessages) else "envelope"
        asking.quarantine(site, Fault(check, error.message))
        return None
    for fault in faults_of_binding(found, asking.request):
        asking.quarantine(site, fault)
        return None
    member = _member(asking, site)
    log = taken(asking.federation, member, came.shown, reply.audit)
    said = _said(asking, member, log.conformance)
    if isinstance(found, Refusal):
        asking.note(*log.facts, _refused(asking, found))
        return None
    if isinstance(found, Acknowledgement):
        asking.note(*log.facts)
        return found
    asking.federation.heads.keep(member, found.head)
    asking.note(*log.facts, _received(asking, reply, found))
    for check, reason in (("log", log.fault), ("conformance", said.fault)):
        if reason:
            asking.quarantine(site, Fault(check, reason))
            return None
    return found


def _said(asking: Asking, member: Member, content: str | None) -> Said:
    """Take in what a site says of its cohort; the log says that it came before it is kept."""
    said = examined(asking.federation, asking.request.run, asking.plan, member, content)
    if said.new is not None and content is not None:
        asking.note(said.new)
        keep(asking.federation.home, said.new, content)
    return said


def attributed(asking: Asking, site: SiteName, reply: Packet, kind: type[A]) -> A | Refusal:
    """Open a reply under the site's roster key and hold it against the request.

    Raises:
        OtherMessages: the site speaks another version of the messages, so its reply was not opened.
        EnvelopeRefused: another signer, another model or attempt, or arrays that are not the named
        ones.
    """
    member = _member(asking, site)
    if reply.seal:
        sealed = opened(reply.seal, SealedReply, key=member.key)
        hold_version(sealed.version, of=site, here="this aggregator")
    found: A | Refusal = opened(reply.envelope, kind, Refusal, key=member.key)
    if found.site != site:
        raise _foreign("it names another site")
    match found:
        case Update() | Boxes() | MaskedInput() | Unmasking() | Deal() | Ciphertexts() | Opening():
            if digest_of(reply.body) != found.arrays:
                raise _foreign("its arrays are not the named ones")
        case Evaluation() | SelfCheck():
            if found.arrays != asking.request.arrays:
                raise _foreign("it is about another model")
        case _:
            """Names no arrays."""
    request = asking.request
    if isinstance(found, ExchangeReply) and (
        not isinstance(request, ExchangeRequest) or found.context != request.context
    ):
        raise _foreign("it is of another attempt")
    try:
        signed_by(member, found.head)
    except JournalDamaged:
        raise _foreign("its journal head is not signed by the site") from None
    return found


def _member(asking: Asking, site: SiteName) -> Member:
    member = asking.roster.member(site)
    if member is None:
        raise _foreign("the site is not in the roster")
    if not member.is_valid(asking.federation.clock()):
        raise _foreign(f"the site's key expired at {member.until}")
    return member


def _sent(request: AnyRequest, sites: tuple[SiteName, ...]) -> RequestSent | ExchangeAsked:
    named = request.model_dump(include={"run", "round", "request", "arrays"})
    if isinstance(request, ExchangeRequest):
        of = request.model_dump(include={"purpose", "attempt", "exchange"})
        return ExchangeAsked(**named, **of, sites=sites)
    return RequestSent(**named, purpose=_PURPOSES[type(request)], sites=sites)


def _refused(asking: Asking, refusal: Refusal) -> RefusalReceived:
    request = asking.request.request
    told = refusal.model_dump(include={"site", "code", "faulty"})
    return RefusalReceived(**asking.place, request=request, **told)


def _received(
    asking: Asking, reply: Packet, found: Update | Evaluation | SelfCheck | ExchangeReply
) -> ReplyReceived | ExchangeReplied:
    named = {
        **asking.place,
        "request": asking.request.request,
        "site": found.site,
        "reply": digest_of(reply.envelope),
        "arrays": found.arrays if isinstance(found, Update | MaskedInput | Ciphertexts) else None,
        "size_bytes": len(reply.envelope) + len(reply.body),
    }
    if isinstance(found, ExchangeReply):
        return ExchangeReplied.model_validate(named)
    return ReplyReceived.model_validate({**named, "privacy": found.privacy})


def _foreign(found: str) -> EnvelopeRefused:
    message = f"reply refused: {found}"
    return EnvelopeRefused(message, next_step="ask the site which software and roster it runs")
