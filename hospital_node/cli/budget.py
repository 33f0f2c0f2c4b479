"""`hospital-node budget`: what this hospital's patients have spent, and what a plan would spend."""

import typer
from rich.console import Console
from rich.table import Table

from hospital_node.cli.options import Home, Json, PlanFile, read_plan
from hospital_node.config import NodeHome, load_config
from hospital_node.policy import load_policy
from hospital_node.privacy.forecast import forecast as forecast_of
from hospital_node.privacy.ledger import Ledger
from schemas.command_line import say_json

app = typer.Typer(help="The privacy account: what was spent, and what a plan would spend.")


@app.command("show")
def show(home: Home, json: Json = False) -> None:
    """Show epsilon of train and validation patients over every release ever made.

    Example: hospital-node budget show --home /srv/consilium
    """
    paths = NodeHome(home)
    site, limit = load_config(paths).site, load_policy(paths).limit
    with Ledger(paths.ledger) as ledger:
        parts = {part: ledger.spent(part, delta=limit.delta) for part in ("train", "validation")}
        entries = ledger.entries()
    releases = {part: sum(one.part == part for one in entries) for part in parts}
    if json:
        say_json(
            {
                "site": site,
                "epsilon_limit": limit.epsilon,
                "delta": limit.delta,
                "epsilon": max(one.rdp for one in parts.values()),
                "parts": {
                    part: {"rdp": one.rdp, "pld": one.pld, "releases": releases[part]}
                    for part, one in parts.items()
                },
            }
        )
        return
    table = Table(title=f"{site}: privacy spent at delta {limit.delta:g}, cap {limit.epsilon:g}")
    for column in ("patients", "releases", "epsilon (enforced, RDP)", "epsilon (PLD)"):
        table.add_column(column)
    for part, one in parts.items():
        table.add_row(part, str(releases[part]), f"{one.rdp:.3f}", f"{one.pld:.3f}")
    Console().print(table)
    typer.echo(
        "PLD is tighter; it assumes that the releases were not chosen in view of each other."
    )


@app.command("forecast")
def forecast(plan: PlanFile, home: Home, json: Json = False) -> None:
    """Show what a plan would spend, round by round, before anyone approves it.

    Example: hospital-node budget forecast chest-xray.plan.toml --home /srv/consilium
    """
    paths = NodeHome(home)
    limit, wanted = load_policy(paths).limit, read_plan(plan)
    with Ledger(paths.ledger) as ledger:
        ahead = forecast_of(wanted, ledger.entries(), limit=limit.epsilon, delta=limit.delta)
    if json:
        say_json(ahead.model_dump(mode="json"))
        return
    if not ahead.rounds:
        typer.echo("This plan gives patients NO privacy guarantee; nothing would be charged.")
        return
    table = Table(title=f"{wanted.name}: epsilon at delta {limit.delta:g}, cap {limit.epsilon:g}")
    for column in ("after round", "train", "validation"):
        table.add_column(column)
    for one in (ahead.before, *ahead.rounds):
        table.add_row(str(one.round), f"{one.train:.3f}", f"{one.validation:.3f}")
    Console().print(table)
    refused = "none" if ahead.refused is None else str(ahead.refused)
    typer.echo(f"First round that would be refused: {refused}")
