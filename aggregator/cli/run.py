"""`aggregator run`: lead a run of a plan with the hospitals' nodes, over the network."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from aggregator.cli.options import Home, Json, Metrics
from aggregator.config import AggregatorHome
from aggregator.ending import ending_of
from aggregator.federation import Federation, opened
from aggregator.material import read_material
from aggregator.monitoring import RunTally
from aggregator.runs import Material, refuse_closed, refuse_unready, started, stored
from schemas.audit.events import (
    Facts,
    Quarantined,
    RefusalReceived,
    ReplyMissing,
    RoundMoved,
    VerdictGiven,
)
from schemas.command_line import say_json
from schemas.errors import HomeRefused, InputRefused
from schemas.monitoring import monitored
from schemas.names import Name

_UNJUDGED = {"provisional", "abandoned"}


def run(
    plan: Annotated[
        Path, typer.Argument(metavar="PLAN", help="The plan's TOML file, pinned by init-weights.")
    ],
    home: Home,
    resume: Annotated[
        str, typer.Option("--resume", metavar="RUN", help="Go on with an interrupted run.")
    ] = "",
    metrics: Metrics = "",
    json: Json = False,
) -> None:
    """Lead a run of a plan with the nodes that `aggregator serve` lets in.

    Every round waits for the plan's sites until its deadline. When this is interrupted, or the
    machine fails, the run goes on with --resume.

    Example: aggregator run chest-xray.plan.toml --home /srv/federation
    """
    material = read_material(plan)
    tally = RunTally(AggregatorHome(home), material.plan.rounds)

    def observe(facts: Facts) -> None:
        tally.observe(facts)
        _say(facts)

    with monitored(metrics, tally.watched()), opened(home, command="run") as federation:
        if federation.config.address is None:
            message = "run refused: this aggregator has no address that a hospital could call"
            raise HomeRefused(
                message, next_step="lead it on one machine: consilium run PLAN --aggregator DIR …"
            )
        name = _named(federation, material, resume)
        typer.echo(f"Run {name} (if it is interrupted, go on with --resume {name})", err=True)
        from aggregator.flower.leading import lead  # noqa: PLC0415 (takes a second to load)

        logging.basicConfig(level=logging.ERROR, format="%(levelname)s: %(message)s", force=True)
        lead(federation, name, observe)
        ending = ending_of(federation, name)
    if json:
        say_json(ending.facts())
    else:
        typer.echo(ending.sentence())
    ending.refuse_empty()


def _named(federation: Federation, material: Material, resume: Name) -> Name:
    """Start a run, or hold the named one against the plan.

    Raises:
        InputRefused: another plan, an ended run, or too few sites.
    """
    if not resume:
        refuse_unready(federation, material)
        return started(federation, material)
    plan, state = stored(federation, resume)
    if plan != material.plan:
        message = "run refused: it is of another plan than the one named"
        raise InputRefused(message, next_step="name the plan that the run was started with")
    refuse_closed(federation, plan, state)
    return resume


def _say(facts: Facts) -> None:
    """Say on standard error what a person who waits wants to know."""
    match facts:
        case RoundMoved(round=number, target=target) if target in _UNJUDGED:
            typer.echo(f"Round {number}: {target}", err=True)
        case VerdictGiven(verdict=verdict):
            typer.echo(f"Round {verdict.round}: {verdict.reason}", err=True)
        case Quarantined(round=number, site=site, check=check):
            typer.echo(f"Round {number}: {site} is left out ({check})", err=True)
        case RefusalReceived(round=number, site=site, code=code):
            typer.echo(f"Round {number}: {site} refused ({code})", err=True)
        case ReplyMissing(round=number, site=site):
            typer.echo(f"Round {number}: no reply from {site}", err=True)
        case _:
            pass
