"""Reports of a federation's runs, made from its journal and written beside its runs."""

from pathlib import Path

from aggregator.audit.rendering import render
from aggregator.audit.report import ReportFacts, report
from aggregator.config import AggregatorHome
from aggregator.federation import Federation, installed_code
from aggregator.runs import stored
from aggregator.tls import shown_certificates
from schemas.audit.events import ReportWritten
from schemas.contract import DataContract
from schemas.files import write_durably
from schemas.names import Name
from schemas.software import VERSION


def publish(federation: Federation, run: Name) -> Path:
    """Write a run's report as HTML and JSON, and return the page's path.

    Raises:
        InputRefused: no such run.
    """
    plan, _ = stored(federation, run)
    page = page_of(federation.home, run)
    content = (federation.home.runs / run / "contract.json").read_bytes()
    contract = DataContract.from_stored(content, what="the run's contract")
    federation.journal.seal()
    facts = ReportFacts(
        federation=federation.config.federation,
        key=federation.key.public,
        head=federation.journal.head(),
        contract=contract,
        certificates=shown_certificates(federation.home.tls),
        software=VERSION,
        code=installed_code(),
        generated=federation.clock(),
    )
    made = report(federation.journal.events(), plan=plan, run=run, facts=facts)
    write_durably(page.with_suffix(".json"), made.canonical())
    write_durably(page, render(made).encode())
    federation.journal.append(ReportWritten(run=run, report=made.digest))
    return page


def page_of(home: AggregatorHome, run: Name) -> Path:
    """Return where a run's report stands."""
    return home.reports / run / "report.html"
