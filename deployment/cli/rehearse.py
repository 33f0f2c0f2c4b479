"""`consilium rehearse`: hold a plan's mechanism against its claim, on invented patients."""

from pathlib import Path
from typing import Annotated

import typer

from aggregator.material import read_text
from deployment.rehearsal import CANARIES, RUNS, Rehearsal, rehearsed
from schemas.command_line import say_json
from schemas.plan import TrainingPlan

_VIOLATED = 1


def rehearse(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan's TOML file.")],
    canaries: Annotated[
        int, typer.Option("--canaries", min=100, max=10_000, help="Invented patients in a run.")
    ] = CANARIES,
    runs: Annotated[
        int, typer.Option("--runs", min=1, max=1000, help="Times that the plan is gone through.")
    ] = RUNS,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train on invented patients with a plan's own mechanism, and show how much it gives away.

    Prints a lower bound on epsilon at 95 %. Exits with 1 when it is over what the plan claims.

    Example: consilium rehearse chest-xray.plan.toml
    """
    found = rehearsed(TrainingPlan.from_toml(read_text(plan, "plan")), canaries=canaries, runs=runs)
    if json:
        say_json(found.model_dump(mode="json") | {"shown": found.shown})
    else:
        _say(found)
    if found.verdict == "VIOLATED":
        raise typer.Exit(_VIOLATED)


def _say(found: Rehearsal) -> None:
    typer.echo(
        f"{found.plan}: {found.canaries} canaries in {found.runs} runs, half of them trained on"
    )
    typer.echo(
        f"claimed  epsilon {found.claimed_pld:.3f} by loss distributions, "
        f"{found.claimed_rdp:.3f} by Renyi accounting, at delta {found.delta:g}"
    )
    typer.echo(
        f"shown    epsilon of at least {found.shown:.3f} at {found.confidence * 100:g} % "
        f"({found.epsilon_one_run:.3f} whatever the mechanism is, "
        f"{found.epsilon_independent:.3f} with canaries taken as independent)"
    )
    typer.echo(f"noise    at most {found.most_noise:.3f} times the plan's")
    if found.verdict == "VIOLATED":
        typer.echo("VIOLATED: what leaves gives away more than the plan claims. Do not train.")
    else:
        typer.echo("consistent: no fault was shown; a bound below the claim proves no privacy.")
