"""What journal and ledger say: what left, what it cost, who decided, what was refused."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from hospital_node.audit.records import ChargeRow, DecisionRow, KeyRow, RefusalRow, SentRow
from hospital_node.refusals import Reason
from schemas.audit.artefacts import EXCHANGED, OF_PATIENTS, Artefact
from schemas.audit.events import (
    AuditEvent,
    CohortWithdrawn,
    ConformanceReported,
    ExchangeAnswered,
    ExchangeReceived,
    Facts,
    ForkSeen,
    ImageReviewed,
    KeyReplaced,
    LimitSet,
    ModelInstalled,
    PlanApproved,
    PrivateErased,
    Refused,
    ReplySent,
    RequestReceived,
    Reserved,
    Settled,
    WorkLimited,
)
from schemas.audit.notes import claimed_head
from schemas.errors import InvalidRecord
from schemas.names import Digest, Moment
from schemas.protection.messages import Purpose

_SALT_BYTES = 32


def sent(events: Sequence[AuditEvent]) -> tuple[SentRow, ...]:
    """List what left, in order; the same bytes that left again are one release.

    What is given to a sum is of the charge of its round's update or histogram.
    """
    purposes = {
        event.facts.request: event.facts.purpose
        for event in events
        if isinstance(event.facts, RequestReceived) and event.facts.purpose != "close"
    }
    charged = {event.facts.request for event in events if isinstance(event.facts, Reserved)}
    asked = {
        event.facts.request: event.facts
        for event in events
        if isinstance(event.facts, ExchangeReceived)
    }
    rows = dict[Digest, SentRow]()
    for event in events:
        match event.facts:
            case ReplySent() as facts:
                purpose, is_charged = purposes.get(facts.request), facts.request in charged
                row = _sent(event.time, facts, facts.artefact, purpose, is_charged=is_charged)
            case ExchangeAnswered(request=request) as facts if request in asked:
                one = asked[request]
                is_charged = f"{one.run}.{one.round}.{one.purpose}" in charged
                artefact = EXCHANGED[one.exchange]
                row = _sent(event.time, facts, artefact, one.purpose, is_charged=is_charged)
            case ConformanceReported() as facts:
                row = _handed(event.time, facts)
            case _:
                continue
        rows.setdefault(row.sent_digest, row)
    return tuple(rows.values())


def _sent(
    time: Moment,
    facts: ReplySent | ExchangeAnswered,
    artefact: Artefact,
    purpose: Purpose | None,
    *,
    is_charged: bool,
) -> SentRow:
    return SentRow(
        time=time,
        artefact=artefact,
        purpose=purpose,
        run=facts.run,
        round=facts.round,
        recipient="the aggregator",
        sent_digest=facts.reply,
        arrays=facts.arrays,
        size_bytes=facts.size_bytes,
        is_charged=is_charged,
        is_of_patients=artefact in OF_PATIENTS,
    )


def _handed(time: Moment, facts: ConformanceReported) -> SentRow:
    return SentRow(
        time=time,
        artefact="conformance report",
        purpose=None,
        run=None,
        round=None,
        recipient=f"whom {facts.approver} handed it to",
        sent_digest=facts.report,
        arrays=None,
        size_bytes=None,
        is_charged=False,
        is_of_patients=False,
    )


def charges(events: Iterable[AuditEvent]) -> tuple[ChargeRow, ...]:
    """List every charge, with whether it was voided."""
    found: dict[str, ChargeRow] = {}
    rows: list[ChargeRow] = []
    for event in events:
        match event.facts:
            case Reserved() as facts:
                row = ChargeRow(
                    time=event.time,
                    request=facts.request,
                    part=facts.part,
                    spent=facts.spent,
                    is_voided=False,
                )
                found[facts.request] = row
                rows.append(row)
            case Settled(request=request, outcome="voided") if request in found:
                place = rows.index(found[request])
                rows[place] = rows[place].model_copy(update={"is_voided": True})
            case _:
                """Charges nothing."""
    return tuple(rows)


def refusals(events: Iterable[AuditEvent], private: Path) -> tuple[RefusalRow, ...]:
    """List what was refused; the reason in full where the private detail is still here."""
    return tuple(
        RefusalRow(
            time=event.time,
            run=event.facts.run,
            round=event.facts.round,
            code=event.facts.code,
            reason=_reason(private, event.private),
        )
        for event in events
        if isinstance(event.facts, Refused)
    )


def decisions(events: Iterable[AuditEvent]) -> tuple[DecisionRow, ...]:
    """List what named persons decided, in order."""
    return tuple(
        DecisionRow(time=event.time, person=said[0], decision=said[1], about=said[2])
        for event in events
        if (said := _decision(event.facts)) is not None
    )


def replaced(events: Iterable[AuditEvent]) -> tuple[KeyRow, ...]:
    """List the signing keys that were replaced."""
    return tuple(
        KeyRow(time=event.time, old=event.facts.old, reason=event.facts.reason)
        for event in events
        if isinstance(event.facts, KeyReplaced)
    )


def incidents(events: Iterable[AuditEvent]) -> tuple[str, ...]:
    """Say which forks were seen."""
    return tuple(
        f"event {event.sequence}, {event.time[:19]}: {_owner(event.facts)} signed two histories"
        for event in events
        if isinstance(event.facts, ForkSeen)
    )


def _owner(incident: ForkSeen) -> str:
    head = claimed_head(incident.shown)
    return "a log's owner" if head is None else head.origin


def _decision(facts: Facts) -> tuple[str, str, Digest | None] | None:
    about: Digest | None = None
    match facts:
        case PlanApproved(plan=about, epsilon_limit=None):
            said = "approved a plan WITHOUT PRIVACY"
        case PlanApproved(plan=about, epsilon_limit=limit):
            said = f"approved a plan, under the cap {limit:g}"
        case LimitSet(epsilon=limit, delta=delta):
            said = f"set the cap to epsilon {limit:g} at delta {delta:g}"
        case WorkLimited():
            said = "limited when and how this machine works for the federation"
        case ImageReviewed(contract=about, verdict=verdict):
            said = f"looked at a quarantined image: {verdict}"
        case PrivateErased(before=before):
            said = f"had private details from before {before[:10]} erased"
        case CohortWithdrawn():
            said = "took patients out of the cohorts"
        case ConformanceReported(report=about, code=code):
            said = f"let the conformance report leave ({code})"
        case ModelInstalled(arrays=about):
            said = "put a released model into use"
        case _:
            return None
    return facts.approver, said, about


def _reason(private: Path, committed: Digest | None) -> str | None:
    """Read a private detail, if it is here and is the one that the event commits to."""
    if committed is None:
        return None
    try:
        content = (private / committed.removeprefix("sha256:")).read_bytes()
    except FileNotFoundError:
        return None
    if f"sha256:{sha256(content).hexdigest()}" != committed:
        return None
    try:
        return Reason.from_canonical(content[_SALT_BYTES:]).message
    except InvalidRecord:
        return None
