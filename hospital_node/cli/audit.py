"""`hospital-node audit`: this hospital's own journal."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from hospital_node.audit.report import render
from hospital_node.audit.report import report as made_report
from hospital_node.cli.options import Approver, Home, Json, named
from hospital_node.config import NodeHome, load_config
from hospital_node.node import opened
from schemas.audit.erasure import erase
from schemas.audit.events import PrivateErased
from schemas.audit.journal import refuse_empty, verified
from schemas.command_line import say_json
from schemas.files import write_durably
from schemas.names import moment_of, now
from schemas.wire.keys import SigningKey, former_keys

LEAST, SIX_YEARS = 183, 2190
"""Days: EU AI Act, Art. 26(6); 45 CFR 164.316(b)(2)(i)."""

app = typer.Typer(help="This hospital's journal: what it did, and proof that no line was changed.")


@app.command("report")
def report(
    home: Home,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="reports/report.html in the home by default."),
    ] = None,
    json: Json = False,
) -> None:
    """Write what left this hospital, at what cost, who decided and what was refused, as a page.

    One HTML page that needs nothing else, and the same as JSON beside it. It only reads journal and
    ledger, and has no count of patients.

    Example: hospital-node audit report --home /srv/consilium
    """
    paths = NodeHome(home)
    page = out or paths.reports / "report.html"
    made = made_report(paths, generated=now())
    write_durably(page.with_suffix(".json"), made.canonical(), mode=0o600)
    write_durably(page, render(made).encode(), mode=0o600)
    if json:
        say_json({"html": str(page), "json": str(page.with_suffix(".json"))})
        return
    typer.echo(f"Report of {made.identity.site}: {page}")


@app.command("erase")
def erase_details(
    home: Home,
    approver: Approver,
    days: Annotated[
        int, typer.Option("--older-than", metavar="DAYS", help="Keep what is younger.", min=LEAST)
    ] = SIX_YEARS,
) -> None:
    """Erase the private details of old events, such as the reasons of refusals, in your name.

    The events stay, and the log still verifies. Details are kept for six years if nothing is said
    (45 CFR 164.316(b)(2)(i)), and never for less than half a year (EU AI Act, Art. 26(6)).

    Example: hospital-node audit erase --home /srv/consilium --approver "A. Steward" --older-than 2190
    """  # noqa: E501 - a command line
    named(approver)
    with opened(home, command="audit-erase") as node:
        at = datetime.fromisoformat(node.clock()) - timedelta(days=days)
        before = moment_of(at)
        node.journal.append(PrivateErased(approver=approver, before=before))
        count = erase(node.home.journal, before=before)
    typer.echo(f"{count} private details from before {before[:10]} are erased; every event stays.")


@app.command("verify")
def verify(home: Home, json: Json = False) -> None:
    """Hold every event of the journal against its signed tree head.

    Example: hospital-node audit verify --home /srv/consilium
    """
    paths = NodeHome(home)
    site = load_config(paths).site
    keys = (SigningKey.load(paths.signing_key).public, *former_keys(paths.keys))
    head = verified(paths.journal, origin=f"site/{site}", key=keys)
    refuse_empty(head.size)
    if json:
        say_json({"events": head.size, "origin": head.origin, "root": head.root.hex()})
        return
    typer.echo(f"{head.size} events match the signed tree head of {head.origin}.")
