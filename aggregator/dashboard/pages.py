"""The dashboard's two pages: the federation, and one run, each rendered from what stands now."""

from dataclasses import dataclass

from aggregator.audit.findings import VERIFY
from aggregator.audit.reading import reading
from aggregator.audit.rendering import view_of
from aggregator.audit.report import report_of
from aggregator.audit.witness import Witnesses
from aggregator.dashboard.live import Live
from aggregator.dashboard.standing import HeadNow, RunNow, SiteNow, heads_now, runs_now, sites_now
from schemas.enrolment import Roster
from schemas.errors import JournalDamaged
from schemas.names import Name, now
from schemas.pages.environment import environment
from schemas.pages.records import Finding

_HEADS = 8
"""Heads shown on the page; the bundle has all."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What both pages show."""

    federation: Name
    roster: Roster
    runs: dict[Name, RunNow]
    sites: tuple[SiteNow, ...]
    heads: tuple[HeadNow, ...]
    integrity: Finding
    events: int
    generated: str


def shown(live: Live) -> Shown:
    """Read what stands now."""
    integrity, roster = _integrity(live), live.roster()
    return Shown(
        federation=roster.federation,
        roster=roster,
        runs=runs_now(live.tail.events),
        sites=sites_now(live.tail.events, roster),
        heads=heads_now(Witnesses(live.home.witnesses).notes(), roster, most=_HEADS),
        integrity=integrity,
        events=len(live.tail.leaves),
        generated=now(),
    )


def federation_page(live: Live) -> str:
    """Return the page of the federation."""
    found = shown(live)
    reports = {name for name in found.runs if live.report(name)}
    template = environment("aggregator.dashboard", "aggregator.audit")
    return template.get_template("federation.html.j2").render(shown=found, reports=reports, top=".")


def run_page(live: Live, run: Name) -> str | None:
    """Return the page of a run; None: there is none of this name."""
    found = shown(live)
    if run not in found.runs:
        return None
    plan = live.plan(run)
    report = report_of(
        reading(live.tail.events, run=run),
        plan=plan,
        facts=live.facts(run),
        integrity=found.integrity,
    )
    template = environment("aggregator.dashboard", "aggregator.audit").get_template("run.html.j2")
    return template.render(
        shown=found,
        run=found.runs[run],
        report=report,
        view=view_of(report),
        written=live.report(run) is not None,
        top="..",
    )


def _integrity(live: Live) -> Finding:
    """Hold the journal, as far as it was read, against its signed head."""
    try:
        head = live.head()
    except JournalDamaged as error:
        live.tail.grow()
        return Finding(
            subject="integrity",
            standing="FAIL",
            sentence="The journal does not match its signed tree head.",
            details=(error.message,),
            command=VERIFY,
        )
    count, later = len(live.tail.leaves), len(live.tail.leaves) - head.size
    told = f"{later} events stand after the signed head, which is signed anew at a round's end"
    unread = f"{live.tail.unread} events are of another version, and are not shown"
    details = [text for text, is_so in ((told, later), (unread, live.tail.unread)) if is_so]
    return Finding(
        subject="integrity",
        standing="ATTENTION" if live.tail.unread else "PASS",
        sentence=f"The tree head over {head.size} of {count} events verifies.",
        details=tuple(details),
        command=VERIFY,
    )
