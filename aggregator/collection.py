"""Asking sites and taking in what they answer.

* Each reply is checked alone and put on disk as it comes.
* A reply is known by the roster key that signed it, never by the slot in which it came.
* Each reply brings its site's new events and a cosignature of this log; one that does not, or whose
  log is not the one known, is left out, and a fork is recorded as an incident.
* A reply that fails a check is quarantined, named and recorded; the others go on.
* A reply is bound to federation, run, plan, round and request; a site answers a request once.
* The journal head of an update or evaluation is kept before anything is made of it. That of a
  refusal is not: nothing was released, and a copied home that refuses must not lock out the other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from aggregator.aggregation.spool import Spool
from aggregator.audit.evaluations import keep_evaluation
from aggregator.audit.exchange import show, taken
from aggregator.exchange import Exchange
from aggregator.federation import Federation
from aggregator.gates.update_gate import (
    faults_of_binding,
    faults_of_evaluation,
    weighed,
)
from aggregator.heads import signed_by
from aggregator.run_state import Arrived, SiteHistogram
from schemas.audit.events import (
    Facts,
    Quarantined,
    RefusalReceived,
    ReplyMissing,
    ReplyReceived,
    RequestSent,
)
from schemas.audit.exchange import Shown
from schemas.enrolment import Member, Roster
from schemas.errors import EnvelopeRefused, JournalDamaged
from schemas.names import SiteName, digest_of
from schemas.plan import TrainingPlan
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
    request: Request
    roster: Roster
    observe: Callable[[Facts], None]


@dataclass(frozen=True, slots=True)
class _Came:
    """A reply in the slot of a site, and what was shown of the log with the request."""

    site: SiteName
    packet: Packet
    shown: Shown


def collect_updates(
    asking: Asking, spool: Spool, *, body: bytes, before: Sequence[Arrived]
) -> tuple[Arrived, ...]:
    """Ask for updates, spool the usable ones, and return all that are spooled, in site order.

    Sites that came `before` are not asked again. One update is written while the next one comes in.
    """
    arrived = {one.site: one for one in before}
    missing = [site for site in asking.request.participants if site not in arrived]
    with ThreadPoolExecutor(1) as writer:
        written: Future[None] | None = None
        again = bool(before)
        for came in _replies(asking, missing, body, again=again) if missing else ():
            found = _checked(asking, came, Update)
            if written is not None:
                written.result()
                written = None
            if isinstance(found, Update) and (one := _arrived(asking, found, came.packet.body)):
                arrived[came.site] = one
                envelope, delta = came.packet.envelope, came.packet.body
                written = writer.submit(spool.put, came.site, found, envelope, delta)
        if written is not None:
            written.result()
    return tuple(arrived[site] for site in sorted(arrived))


def collect_histograms(asking: Asking, *, body: bytes) -> tuple[SiteHistogram, ...]:
    """Ask for evaluations and return the usable ones in site order."""
    histograms: dict[SiteName, SiteHistogram] = {}
    for came in _replies(asking, asking.request.participants, body):
        found = _checked(asking, came, Evaluation)
        if isinstance(found, Evaluation) and _is_usable(asking, found):
            keep_evaluation(asking.federation.home, found, came.packet.envelope)
            histograms[came.site] = SiteHistogram(site=came.site, histogram=found.histogram)
    return tuple(histograms[site] for site in sorted(histograms))


def close(asking: Asking) -> None:
    """Have the sites cosign the log that says how the run ended."""
    for came in _replies(asking, asking.request.participants, b""):
        _checked(asking, came, Acknowledgement)


def _replies(
    asking: Asking, sites: Sequence[SiteName], body: bytes, *, again: bool = False
) -> Iterator[_Came]:
    """Send one request to these sites and yield what comes; a missing reply is recorded."""
    request = asking.request
    sent = RequestSent(
        run=request.run,
        round=request.round,
        request=request.request,
        purpose=_PURPOSES[type(request)],
        arrays=request.arrays,
        sites=tuple(sites),
    )
    _note(asking, sent)
    quorum = asking.plan.participation.quorum
    shown = show(asking.federation, asking.roster, needed=quorum, again=again)
    packet = Packet(signed(request, asking.federation.key), body, audit=shown.canonical())
    deadline_s = asking.plan.participation.deadline_s
    for site, reply in asking.exchange(packet, sites, deadline_s=deadline_s):
        if reply is None:
            _note(asking, ReplyMissing(**_place(request), request=request.request, site=site))
        else:
            yield _Came(site, reply, shown)


def _checked(
    asking: Asking, came: _Came, kind: type[Update] | type[Evaluation] | type[Acknowledgement]
) -> Update | Evaluation | None:
    """Return what came for this request; None where nothing but a recorded fact is left of it."""
    site, reply = came.site, came.packet
    try:
        found = _attributed(asking, site, reply, kind)
    except EnvelopeRefused as error:
        _quarantine(asking, site, "envelope", error.message)
        return None
    for fault in faults_of_binding(found, asking.request):
        _quarantine(asking, site, fault.check, fault.reason)
        return None
    member = _member(asking, site)
    log = taken(asking.federation, member, came.shown, reply.audit)
    if isinstance(found, Refusal):
        _note(asking, *log.facts, _refused(asking, found))
        return None
    if isinstance(found, Acknowledgement):
        _note(asking, *log.facts)
        return None
    asking.federation.heads.keep(member, found.head)
    _note(asking, *log.facts, _received(asking, site, reply, found))
    if log.fault is not None:
        _quarantine(asking, site, "log", log.fault)
        return None
    return found


def _arrived(asking: Asking, found: Update, delta: bytes) -> Arrived | None:
    """Return what the round needs of an update; None after a recorded fault."""
    weight = weighed(found, delta, plan=asking.plan, layout=asking.layout)
    for fault in weight.faults:
        _quarantine(asking, found.site, fault.check, fault.reason)
        return None
    return Arrived(site=found.site, arrays=found.arrays, norm=weight.norm)


def _is_usable(asking: Asking, found: Evaluation) -> bool:
    for fault in faults_of_evaluation(found, plan=asking.plan):
        _quarantine(asking, found.site, fault.check, fault.reason)
        return False
    return True


def _attributed(
    asking: Asking,
    site: SiteName,
    reply: Packet,
    kind: type[Update] | type[Evaluation] | type[Acknowledgement],
) -> Update | Evaluation | Acknowledgement | Refusal:
    """Open a reply under the site's roster key and hold its binding against the request.

    Raises:
        EnvelopeRefused: another signer, another binding, or arrays that are not the named ones.
    """
    member = _member(asking, site)
    found: Update | Evaluation | Acknowledgement | Refusal
    found = opened(reply.envelope, kind, Refusal, key=member.key)
    if found.site != site:
        raise _foreign("it names another site")
    if isinstance(found, Update) and digest_of(reply.body) != found.arrays:
        raise _foreign("its arrays are not the named ones")
    if isinstance(found, Evaluation) and found.arrays != asking.request.arrays:
        raise _foreign("it is about another model")
    try:
        signed_by(member, found.head)
    except JournalDamaged:
        raise _foreign("its journal head is not signed by the site") from None
    return found


def _member(asking: Asking, site: SiteName) -> Member:
    member = asking.roster.member(site)
    if member is None:
        raise _foreign("the site is not in the roster")
    return member


def _quarantine(asking: Asking, site: SiteName, check: str, reason: str) -> None:
    _note(
        asking,
        Quarantined(**_place(asking.request), site=site, check=check, reason=reason[:2000]),
    )


def _refused(asking: Asking, refusal: Refusal) -> RefusalReceived:
    request = asking.request
    return RefusalReceived(
        **_place(request), request=request.request, site=refusal.site, code=refusal.code
    )


def _received(
    asking: Asking, site: SiteName, reply: Packet, found: Update | Evaluation
) -> ReplyReceived:
    return ReplyReceived(
        **_place(asking.request),
        request=asking.request.request,
        site=site,
        reply=digest_of(reply.envelope),
        arrays=found.arrays if isinstance(found, Update) else None,
        size_bytes=len(reply.envelope) + len(reply.body),
        privacy=found.privacy,
    )


def _note(asking: Asking, *facts: Facts) -> None:
    asking.federation.journal.append(*facts)
    for one in facts:
        asking.observe(one)


def _place(request: Request) -> dict[str, Any]:
    return {"run": request.run, "round": request.round}


def _foreign(found: str) -> EnvelopeRefused:
    message = f"reply refused: {found}"
    return EnvelopeRefused(message, next_step="ask the site which software and roster it runs")
