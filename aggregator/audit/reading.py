"""What a journal says of one run, read once.

* Only events of the run, and those that name no run, are read.
* A quarantine or reply belongs to the purpose of the request that it answers.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from aggregator.audit.records import (
    ConformanceRow,
    KeyRow,
    MissingRow,
    Purpose,
    QuarantineRow,
    RefusalRow,
    SignOffRow,
)
from schemas.audit.events import (
    AuditEvent,
    ConformanceReceived,
    Enrolled,
    ExchangeAsked,
    KeyReplaced,
    Quarantined,
    RefusalReceived,
    ReplyMissing,
    RequestSent,
    Revoked,
    RunClosed,
    RunOpened,
    SignedOff,
)
from schemas.base import Record
from schemas.errors import InputRefused
from schemas.names import Digest, PublicKey, SiteName

F = TypeVar("F", bound=Record)


@dataclass(frozen=True, slots=True)
class Reading:
    """One run's part of a journal, and the run's requests by id."""

    run: str
    journal: tuple[AuditEvent, ...]
    events: tuple[AuditEvent, ...]
    purposes: dict[str, Purpose]
    opened: tuple[tuple[AuditEvent, RunOpened], ...]

    def stated(self, kind: type[F]) -> Iterator[tuple[AuditEvent, F]]:
        """Yield the run's events of one kind, in order."""
        return _of_kind(self.events, kind)

    def purpose(self, request: str) -> Purpose:
        """Return what a request asked for; a reply to an unrecorded request counts as an update.

        A delivery is recorded by its decision and receipts, and its request's name says it.
        """
        asked: Purpose = "deliver" if request.endswith(".deliver") else "train"
        return self.purposes.get(request, asked)

    @property
    def closed(self) -> tuple[AuditEvent, RunClosed] | None:
        """Return the run's end; None while it is open, also when it was taken up again."""
        ends = list(self.stated(RunClosed))
        if ends and ends[-1][0].sequence > self.opened[-1][0].sequence:
            return ends[-1]
        return None


def reading(events: Iterable[AuditEvent], *, run: str) -> Reading:
    """Read one run out of a whole journal.

    Raises:
        InputRefused: the journal holds no such run.
    """
    journal = tuple(events)
    chosen = tuple(one for one in journal if getattr(one.facts, "run", run) == run)
    opened = tuple(_of_kind(chosen, RunOpened))
    if not opened:
        known = sorted({facts.run for _, facts in _of_kind(journal, RunOpened)})
        raise InputRefused(
            f"report refused: this journal holds no run {run}, only {', '.join(known) or 'none'}",
            next_step="name a run of this journal, or start one with: consilium run",
        )
    purposes: dict[str, Purpose] = {
        **{one.request: one.purpose for _, one in _of_kind(chosen, RequestSent)},
        **{one.request: one.purpose for _, one in _of_kind(chosen, ExchangeAsked)},
    }
    return Reading(run, journal, chosen, purposes, opened)


def refusals(source: Reading) -> tuple[RefusalRow, ...]:
    """List the sites' signed refusals."""
    return tuple(
        RefusalRow(
            round=facts.round,
            site=facts.site,
            purpose=source.purpose(facts.request),
            code=facts.code,
            time=event.time,
        )
        for event, facts in source.stated(RefusalReceived)
    )


def quarantines(source: Reading) -> tuple[QuarantineRow, ...]:
    """List what was left out."""
    return tuple(row for _, row in left_out(source))


def left_out(source: Reading) -> Iterator[tuple[AuditEvent, QuarantineRow]]:
    """Yield the quarantines; the purpose of one is that of the round's latest request before it."""
    latest: dict[int, Purpose] = {}
    for event in source.events:
        if isinstance(event.facts, RequestSent | ExchangeAsked):
            latest[event.facts.round] = event.facts.purpose
        elif isinstance(event.facts, Quarantined):
            facts = event.facts
            asked: Purpose = latest.get(facts.round, "train")
            row = QuarantineRow(
                round=facts.round,
                site=facts.site,
                purpose="deliver" if facts.check == "receipt" else asked,
                check=facts.check,
                reason=facts.reason,
                time=event.time,
            )
            yield event, row


def missing(source: Reading) -> tuple[MissingRow, ...]:
    """List the replies that did not come."""
    return tuple(
        MissingRow(
            round=facts.round,
            site=facts.site,
            purpose=source.purpose(facts.request),
            time=event.time,
        )
        for event, facts in source.stated(ReplyMissing)
    )


def conformance(source: Reading, contract: Digest) -> tuple[ConformanceRow, ...]:
    """List the newest report of each site on its cohort under a contract."""
    newest = {
        facts.site: ConformanceRow(
            site=facts.site,
            code=facts.code,
            report=facts.report,
            declared=facts.declared,
            noised=facts.noised,
            time=event.time,
        )
        for event, facts in source.stated(ConformanceReceived)
        if facts.contract == contract
    }
    return tuple(newest[site] for site in sorted(newest))


def sign_offs(source: Reading) -> tuple[SignOffRow, ...]:
    """List who signed the run off."""
    return tuple(
        SignOffRow(name=facts.name, meaning=facts.meaning, time=event.time, bundle=facts.bundle)
        for event, facts in source.stated(SignedOff)
    )


def key_changes(source: Reading) -> tuple[KeyRow, ...]:
    """List the keys that were replaced or revoked."""
    rows = []
    for event in source.journal:
        match event.facts:
            case KeyReplaced(party=party, old=former, reason=reason):
                what = f"replaced-{reason}"
            case Revoked(party=party, key=former):
                what = "revoked"
            case _:
                continue
        rows.append(KeyRow(party=party, time=event.time, what=what, former=former))
    return tuple(rows)


def keys(source: Reading) -> dict[SiteName, PublicKey]:
    """Return each site's key by its latest enrolment."""
    return {facts.party: facts.key for _, facts in source.stated(Enrolled)}


def _of_kind(events: Sequence[AuditEvent], kind: type[F]) -> Iterator[tuple[AuditEvent, F]]:
    for event in events:
        if isinstance(event.facts, kind):
            yield event, event.facts
