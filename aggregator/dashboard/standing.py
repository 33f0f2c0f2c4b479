"""Where everything stands now: runs, sites and logs, derived from events and heads alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from schemas.audit.events import (
    AuditEvent,
    LogReceived,
    Quarantined,
    RefusalReceived,
    ReplyMissing,
    ReplyReceived,
    RequestSent,
    RoundMoved,
    RunClosed,
    RunOpened,
    VerdictGiven,
)
from schemas.audit.notes import TreeHead, claimed_head, cosigners, witness_name
from schemas.enrolment import Roster
from schemas.names import Moment, Name, SiteName

State: TypeAlias = Literal[
    "never asked", "asked", "replied", "refused", "quarantined", "missing", "revoked"
]


_STATES: dict[type, State] = {
    RequestSent: "asked",
    ReplyReceived: "replied",
    RefusalReceived: "refused",
    ReplyMissing: "missing",
    Quarantined: "quarantined",
}


@dataclass(frozen=True, slots=True)
class RunNow:
    """A run, as far as it came."""

    name: Name
    opened: Moment
    sites: tuple[SiteName, ...]
    round: int = 0
    phase: str = "opened"
    asked: str = ""
    """The purpose of the latest request, while it is open."""
    auroc: float | None = None
    """Stratified, of the model accepted last."""
    accepted: int | None = None
    """Round of the model accepted last."""
    ended: str = ""
    """Why it ended; empty while it is open."""
    latest: Moment = ""


@dataclass(frozen=True, slots=True)
class SiteNow:
    """A site: how it answered last, and how far its log is known."""

    site: SiteName
    state: State = "never asked"
    detail: str = ""
    run: Name = ""
    round: int = 0
    since: Moment | None = None
    events: int = 0
    """In its log, as far as it came here."""
    joined: Moment | None = None


@dataclass(frozen=True, slots=True)
class HeadNow:
    """A head of the aggregator's log that was shown, and who has cosigned it, by site."""

    head: TreeHead
    cosigned: Mapping[SiteName, int]
    """With the witness's own time, in seconds since 1970."""


def runs_now(events: Iterable[AuditEvent]) -> dict[Name, RunNow]:
    """Return every run by name, in the order in which they were opened."""
    found: dict[Name, RunNow] = {}
    for event in events:
        match event.facts:
            case RunOpened(run=name, sites=sites):
                known = found.get(name) or RunNow(name, event.time, sites)
                found[name] = replace(known, ended="", latest=event.time)
            case RunClosed(run=name, reason=reason) if name in found:
                found[name] = replace(found[name], ended=reason, latest=event.time)
            case RoundMoved(run=name, round=number, target=target) if name in found:
                found[name] = replace(
                    found[name], round=number, phase=target, asked="", latest=event.time
                )
            case RequestSent(run=name, purpose=purpose) if name in found:
                found[name] = replace(found[name], asked=purpose, latest=event.time)
            case VerdictGiven(run=name, verdict=verdict) if name in found:
                if verdict.outcome == "accepted":
                    found[name] = replace(
                        found[name], accepted=verdict.round, auroc=verdict.auroc, latest=event.time
                    )
            case _:
                """Moves no run."""
    return found


def sites_now(events: Iterable[AuditEvent], roster: Roster) -> tuple[SiteNow, ...]:
    """Return every site that is, or was, on the roster."""
    found = {one.site: SiteNow(one.site, joined=one.since) for one in roster.members}
    for event in events:
        if isinstance(event.facts, LogReceived):
            head = claimed_head(event.facts.head)
            if head is not None and event.facts.site in found:
                site = event.facts.site
                found[site] = replace(found[site], events=head.size)
        for site, answer in _answers(event):
            if site in found:
                found[site] = replace(answer, events=found[site].events, joined=found[site].joined)
    for gone in roster.revoked:
        if roster.member(gone.site) is None:
            found[gone.site] = SiteNow(gone.site, "revoked", since=gone.at)
    return tuple(found[site] for site in sorted(found))


def heads_now(notes: Sequence[str], roster: Roster, *, most: int) -> tuple[HeadNow, ...]:
    """Return the heads that were shown last, newest first."""
    keys = {witness_name(one.site): one.witness for one in roster.members}
    names = {witness_name(one.site): one.site for one in roster.members}
    found = []
    for note in reversed(notes[-most:]):
        head = claimed_head(note)
        if head is not None:
            who = {names[name]: at for name, at in cosigners(note, keys).items()}
            found.append(HeadNow(head, dict(sorted(who.items()))))
    return tuple(found)


def _answers(event: AuditEvent) -> Iterator[tuple[SiteName, SiteNow]]:
    """Yield what an event says of sites."""
    facts, state, detail = event.facts, _STATES.get(type(event.facts)), ""
    match facts:
        case RequestSent(purpose="train" | "evaluate" as detail, sites=sites):
            named: tuple[SiteName | None, ...] = sites
        case RefusalReceived(code=detail, site=site) | Quarantined(check=detail, site=site):
            named = (site,)
        case ReplyReceived(site=site) | ReplyMissing(site=site):
            named = (site,)
        case _:
            return
    for site in named:
        if site is not None and state is not None:
            yield site, SiteNow(site, state, detail, facts.run, facts.round, event.time)
