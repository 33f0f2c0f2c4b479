"""`hospital-node budget`: what this hospital's patients have spent, and what a plan would spend.

* These commands only read, and do so while another command owns the home: the journal is read
  before the ledger, which is then never behind it.
* A ledger that its journal contradicts is refused here as it is in a round.
* Releases of plans without privacy are in no ledger; the journal counts them, beside every epsilon.
"""

import csv
import io
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from hospital_node.cli.options import Home, Json, PlanFile, read_plan
from hospital_node.config import NodeHome, load_config
from hospital_node.policy import load_policy
from hospital_node.privacy.consistency import hold_charges
from hospital_node.privacy.forecast import Forecast, GatePower, gate_power
from hospital_node.privacy.forecast import forecast as forecast_of
from hospital_node.privacy.ledger import Entry, Ledger, Row, standing
from hospital_node.privacy.uncharged import said, uncharged
from schemas import accounting
from schemas.audit.events import ReplySent, RequestReceived, Reserved, Settled
from schemas.audit.lines import read_facts
from schemas.command_line import say_json
from schemas.contract import DataContract
from schemas.errors import InputRefused, InvalidRecord
from schemas.files import write_durably
from schemas.gate import METRIC_NAMES
from schemas.gate_power import POWER, notable
from schemas.manifest import Part
from schemas.plan import TrainingPlan
from schemas.privacy import SampledGaussian, Spend

_COLUMNS = (
    *("sequence", "status"),
    *(name for name in Entry.model_fields if name != "event"),
    *SampledGaussian.model_fields,
    *Spend.model_fields,
)

app = typer.Typer(help="The privacy account: what was spent, and what a plan would spend.")


@app.command("show")
def show(home: Home, json: Json = False) -> None:
    """Show epsilon of train and validation patients over every charged release ever made.

    Releases of plans without privacy have no epsilon; they are counted beside it.

    Example: hospital-node budget show --home /srv/consilium
    """
    paths = NodeHome(home)
    site, limit = load_config(paths).site, load_policy(paths).limit
    rows, without = _account(paths)
    entries = standing(rows)
    events = {part: [one.event for one in entries if one.part == part] for part in without}
    parts = {part: accounting.spend(own, delta=limit.delta) for part, own in events.items()}
    if json:
        say_json(
            {
                "site": site,
                "epsilon_limit": limit.epsilon,
                "delta": limit.delta,
                "epsilon": max(one.rdp for one in parts.values()),
                "parts": {
                    part: {
                        "rdp": one.rdp,
                        "pld": one.pld,
                        "releases": len(events[part]),
                        "without_privacy": without[part],
                    }
                    for part, one in parts.items()
                },
            }
        )
        return
    table = Table(title=f"{site}: privacy spent at delta {limit.delta:g}, cap {limit.epsilon:g}")
    for column in ("patients", "charged releases", "epsilon (RDP)", "epsilon (PLD)"):
        table.add_column(column)
    for part, one in parts.items():
        table.add_row(part, str(len(events[part])), f"{one.rdp:.3f}", f"{one.pld:.3f}")
    Console().print(table)
    typer.echo(
        "RDP is enforced. PLD is tighter; it assumes that the releases were not chosen in view of "
        "each other."
    )
    _warn(without)


@app.command("forecast")
def forecast(plan: PlanFile, home: Home, json: Json = False) -> None:
    """Show what a plan would spend, round by round, and what its gate could notice for that.

    Example: hospital-node budget forecast chest-xray.plan.toml --home /srv/consilium
    """
    paths = NodeHome(home)
    limit, wanted = load_policy(paths).limit, read_plan(plan)
    rows, without = _account(paths)
    ahead = forecast_of(
        wanted,
        standing(rows),
        limit=limit.epsilon,
        delta=limit.delta,
        site=load_config(paths).site,
    )
    noticed = gate_power(wanted, _contract(plan, wanted))
    if json:
        gate = noticed.model_dump(mode="json")
        beside = {"gate_power": gate, "without_privacy": dict(without)}
        say_json(ahead.model_dump(mode="json") | beside)
        return
    _print_forecast(wanted, ahead)
    _warn(without)
    _print_power(wanted, noticed)


@app.command("export")
def export(
    home: Home,
    form: Annotated[
        Literal["jsonl", "csv"], typer.Option("--format", help="JSON lines, or CSV with a header.")
    ] = "jsonl",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A new file; else the screen.")
    ] = None,
) -> None:
    """Write every row of the ledger, in order, for an auditor or another accountant.

    Example: hospital-node budget export --home /srv/consilium --format csv --out ledger.csv
    """
    rows, _ = _account(NodeHome(home))
    text = _as_csv(rows) if form == "csv" else _as_lines(rows)
    if out is None:
        sys.stdout.write(text)
        return
    if out.exists():
        message = f"export refused: {out.name} is there already"
        raise InputRefused(message, next_step="name a new file")
    write_durably(out, text.encode(), mode=0o600)
    typer.echo(f"{len(rows)} rows written to {out.name}.")


def _account(paths: NodeHome) -> tuple[tuple[Row, ...], Mapping[Part, int]]:
    """Read the ledger, held against the journal as it was just before, and count what it lacks.

    Raises:
        LedgerDamaged: missing, corrupt, or behind the journal.
    """
    claims = tuple(read_facts(paths.journal, ReplySent, RequestReceived, Reserved, Settled))
    with Ledger(paths.ledger) as ledger:
        rows = ledger.rows()
    hold_charges(rows, claims)
    return rows, uncharged(claims)


def _warn(without: Mapping[Part, int]) -> None:
    if said(without):
        typer.echo(said(without))


def _contract(path: Path, plan: TrainingPlan) -> DataContract | None:
    """Read the contract beside a plan; None where there is none, or another one."""
    try:
        text = (path.parent / plan.contract.file).read_text(encoding="utf-8")
        contract = DataContract.from_toml(text)
    except (OSError, UnicodeDecodeError, InvalidRecord):
        return None
    return contract if plan.contract.pinned in {None, contract.digest} else None


def _print_forecast(plan: TrainingPlan, ahead: Forecast) -> None:
    if not ahead.rounds:
        typer.echo("This plan gives patients NO privacy guarantee; nothing would be charged.")
        return
    table = Table(title=f"{plan.name}: epsilon at delta {ahead.delta:g}, cap {ahead.limit:g}")
    for column in ("after round", "train", "validation"):
        table.add_column(column)
    for one in (ahead.before, *ahead.rounds):
        table.add_row(str(one.round), f"{one.train:.3f}", f"{one.validation:.3f}")
    Console().print(table)
    refused = "none" if ahead.refused is None else str(ahead.refused)
    typer.echo(f"First round that would be refused: {refused}")


def _print_power(plan: TrainingPlan, noticed: GatePower) -> None:
    """Print the least true losses of the metric that the gate would notice."""
    name = METRIC_NAMES[plan.metric]
    table = Table(title=f"Losses of {name} that the gate notices {POWER:.0%} of the time")
    for column in ("loss", "allowed", "noticed from"):
        table.add_column(column)
    table.add_row("at all sites alike", f"{plan.gate.margin:.3f}", notable(noticed.stratified))
    for site, least in noticed.sites.items():
        table.add_row(f"at {site} alone", f"{plan.gate.margin_at(site):.3f}", notable(least))
    Console().print(table)
    typer.echo(f"Assumed: {noticed.assumes}.")


def _as_lines(rows: Iterable[Row]) -> str:
    return "".join(f"{row.canonical().decode()}\n" for row in rows)


def _as_csv(rows: Iterable[Row]) -> str:
    """Write one line for each row, with nested fields side by side."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        entry = row.entry.model_dump(exclude={"event"})
        place = {"sequence": row.sequence, "status": row.status}
        writer.writerow(place | entry | row.entry.event.model_dump() | row.spend.model_dump())
    return text.getvalue()
