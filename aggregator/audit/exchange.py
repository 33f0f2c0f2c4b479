"""The aggregator's part in witnessing: what it shows with a request, and takes in with a reply."""

from dataclasses import dataclass

from aggregator.federation import Federation
from schemas.audit.events import Facts, LogReceived
from schemas.audit.exchange import Shared, Shown
from schemas.enrolment import Member, Roster
from schemas.errors import InvalidRecord, JournalDamaged


@dataclass(frozen=True, slots=True)
class Taken:
    """What the log must say of a site's part, and why its reply cannot be used, if so."""

    facts: tuple[Facts, ...]
    fault: str | None
    conformance: str | None = None
    """The conformance report beside the reply, not yet verified."""


def show(federation: Federation, roster: Roster, *, needed: int, again: bool = False) -> Shown:
    """Return this log's head with all that a site needs to cosign it.

    `again`: it is the head that was shown last. Some sites have answered under it, and whoever
    answers now is cosigned by them too.
    """
    journal, witnesses = federation.journal, federation.witnesses
    last = witnesses.sizes()[-1:] if again else []
    cosigned = witnesses.cosigned(roster, needed=needed)
    return Shown(
        offers=witnesses.offers(
            journal, roster, size=min([journal.size, *last]), cosigned=cosigned
        ),
        cosigned=cosigned,
        held={one.site: federation.log_of(one.site).size for one in roster.members},
        roster=federation.home.roster.read_text(encoding="utf-8"),
    )


def taken(federation: Federation, member: Member, shown: Shown, content: bytes) -> Taken:
    """Take in a site's events and cosignature; whatever fails is told, and nothing is raised."""
    try:
        part = Shared.from_canonical(content)
        before = federation.log_of(member.site).note()
        fork = federation.log_of(member.site).take(part, member)
        if part.cosignature is None and (size := federation.log_of(member.site).cosigned()):
            federation.witnesses.stands(member.site, size)
    except (InvalidRecord, JournalDamaged) as error:
        return Taken((), error.message)
    if fork is not None:
        return Taken((fork,), "the site has signed two histories of its log")
    note = federation.log_of(member.site).note()
    grown = note is not None and note != before
    facts = (LogReceived(site=member.site, head=note),) if grown and note else ()
    if not federation.witnesses.keep(shown, part, member):
        return Taken(facts, "it does not cosign the log that was shown", part.conformance)
    return Taken(facts, None, part.conformance)
