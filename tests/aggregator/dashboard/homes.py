"""A home of an aggregator whose journal is a made-up run, with heads that its sites cosigned."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aggregator.audit.rendering import render
from aggregator.audit.report import report
from aggregator.audit.witness import Witnesses
from aggregator.config import AggregatorHome
from aggregator.dashboard.app import application
from aggregator.dashboard.live import Live
from aggregator.lines import Lines, entrances
from aggregator.web import server
from schemas.audit.exchange import Shared, Shown
from schemas.audit.journal import Journal
from schemas.audit.notes import cosignature, witness_name
from schemas.enrolment import Member, Revocation, Roster
from schemas.files import make_folder
from schemas.wire.envelope import signed
from schemas.wire.keys import SigningKey
from tests.aggregator.audit import runs
from tests.aggregator.audit.plans import CONTRACT, SITES
from tests.deployed import PATIENCE_S, free_port

TOKEN = "a-token-that-nobody-guesses"  # noqa: S105 - of these tests
NOW = "2026-11-20T09:05:00.000Z"
SINCE = "2026-11-19T09:00:00.000Z"
ROOT = SigningKey.generate()
WITNESSES = {site: SigningKey.generate() for site in SITES}
GONE = SigningKey.generate()


def roster() -> Roster:
    return Roster(
        federation="lung-federation",
        serial=4,
        aggregator=runs.KEYS["aggregator"].public,
        members=tuple(
            Member(
                site=site,
                key=runs.KEYS[site].public,
                witness=WITNESSES[site].public,
                since=SINCE,
            )
            for site in SITES
        ),
        revoked=(Revocation(site="porto", key=GONE.public, at=SINCE),),
    )


def made(folder: Path, log: runs.Log) -> AggregatorHome:
    """Write a home as far as the dashboard reads it."""
    home = AggregatorHome(folder)
    make_folder(folder)
    home.config.write_text('federation = "lung-federation"\n')
    home.root_public.write_text(ROOT.public)
    home.roster.write_bytes(signed(roster(), ROOT))
    run = home.runs / runs.RUN
    make_folder(run)
    (run / "plan.json").write_bytes(log.plan.canonical())
    (run / "contract.json").write_bytes(CONTRACT.canonical())
    half = len(log.events) // 2
    with journal_of(home) as journal:
        journal.append(*(one.facts for one in log.events[:half]))
        cosigned(home, journal, *SITES)
        journal.append(*(one.facts for one in log.events[half:]))
        cosigned(home, journal, "leeds")
    return home


@contextmanager
def journal_of(home: AggregatorHome) -> Iterator[Journal]:
    key = runs.KEYS["aggregator"]
    journal = Journal(home.journal, origin=runs.ORIGIN, key=key, clock=lambda: NOW)
    try:
        yield journal
    finally:
        journal.close()


def cosigned(home: AggregatorHome, journal: Journal, *sites: str) -> None:
    """Show the journal's head, and keep these sites' cosignatures."""
    found = Witnesses(home.witnesses)
    offers = found.offers(journal, roster(), size=journal.size, cosigned=None)
    envelope = home.roster.read_text()
    shown = Shown(offers=offers, cosigned=None, held={}, roster=envelope)
    note = shown.offers[0].partition("\n\n")[2]
    for site in sites:
        name = witness_name(site)
        line = cosignature(note, name=name, key=WITNESSES[site], seconds=1)
        part = Shared(first=0, events=(), head=note, cosignature=line)
        member = roster().member(site)
        assert member is not None
        assert found.keep(shown, part, member)


def reported(home: AggregatorHome, log: runs.Log) -> Path:
    """Write the run's report."""
    made_report = report(log.events, plan=log.plan, run=runs.RUN, facts=log.facts())
    path = home.reports / runs.RUN / "report.html"
    make_folder(path.parent)
    path.write_text(render(made_report), encoding="utf-8")
    return path


@contextmanager
def served(home: AggregatorHome) -> Iterator[str]:
    """Serve a home's dashboard on loopback; lend its address."""
    listen = f"127.0.0.1:{free_port()}"
    lines = Lines(most=64, each=64)
    one = server(application(Live.of(home.root), token=TOKEN), tls=None, lines=lines)
    thread = threading.Thread(target=one.run, args=(entrances(listen, lines),))
    thread.start()
    ends = time.monotonic() + PATIENCE_S
    while not one.started:
        assert thread.is_alive(), "the server did not start"
        assert time.monotonic() < ends, "the server did not start in time"
        time.sleep(0.01)
    try:
        yield f"http://{listen}"
    finally:
        one.should_exit = True
        thread.join(PATIENCE_S)
