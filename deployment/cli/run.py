"""`consilium run`: conduct a run over homes on this machine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from aggregator.ending import ending_of
from aggregator.material import read_material
from aggregator.runs import Material, refuse_closed, refuse_unready, started
from aggregator.runs import stored as stored_run
from deployment.embedded.federation import EmbeddedFederation, opened
from deployment.outcome import ENDS, RoundOutcome, round_outcomes
from deployment.readiness import (
    absences,
    cap_refusals,
    forecasts,
    refuse_unjudged,
    refuse_unnamed,
    rounds_done,
)
from schemas.audit.events import Facts, RoundMoved, VerdictGiven
from schemas.command_line import say_json, say_refusal
from schemas.errors import InputRefused
from schemas.names import Name
from schemas.plan import TrainingPlan


def run(
    plan: Annotated[
        Path, typer.Argument(metavar="PLAN", help="The plan's TOML file, pinned by init-weights.")
    ],
    aggregator: Annotated[
        Path, typer.Option("--aggregator", metavar="DIR", help="The aggregator's home.")
    ],
    node: Annotated[
        list[Path], typer.Option("--node", metavar="DIR", help="A node's home; once for each.")
    ],
    resume: Annotated[
        str, typer.Option("--resume", metavar="RUN", help="Go on with an interrupted run.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Conduct a run of a plan with everybody in this process, each in a home of their own.

    Nodes that are not yet enrolled with the aggregator are enrolled on the spot, since one person
    holds all the homes.

    Example: consilium run demo.plan.toml --aggregator agg --node north --node south
    """
    material = read_material(plan)
    refuse_unnamed(material.plan, node)
    with opened(aggregator, node) as federation:
        for error in federation.left_out:
            say_refusal(error)
        name = _ready(federation, material, resume)
        typer.echo(f"Run {name} (if it is interrupted, go on with --resume {name})", err=True)
        outcomes = conducted(federation, material.plan, name)
        ending = ending_of(federation.federation, name)
    if json:
        rounds = [one.model_dump(mode="json") for one in outcomes]
        say_json(ending.facts() | {"rounds": rounds})
    else:
        say_rounds(outcomes)
        typer.echo(ending.sentence())
    ending.refuse_empty()


def _ready(federation: EmbeddedFederation, material: Material, resume: Name | None) -> Name:
    """Hold the homes and their caps against what is to come; start a run, or name the old one.

    Raises:
        InputRefused: another plan, an ended run, or too few sites.
        PolicyRefused: the caps leave too few sites for a verdict.
    """
    state = None
    if resume:
        plan, state = stored_run(federation.federation, resume)
        if plan != material.plan:
            message = "run refused: it is of another plan than the one named"
            raise InputRefused(message, next_step="name the plan that the run was started with")
        refuse_closed(federation.federation, plan, state)
    else:
        refuse_unready(federation.federation, material)
    missing = absences(material.plan, federation.nodes)
    ahead = forecasts(federation.nodes, material.plan, state=state)
    refuse_unjudged(material.plan, ahead)
    for line in [missing] * bool(missing) + cap_refusals(ahead):
        typer.echo(f"warning: {line}", err=True)
    return resume or started(federation.federation, material)


def conducted(federation: EmbeddedFederation, plan: TrainingPlan, name: Name) -> list[RoundOutcome]:
    """Conduct a run with a progress bar on standard error, and return how its rounds ended."""
    _, state = stored_run(federation.federation, name)
    with _progress(plan, done=rounds_done(state)) as observe:
        federation.conducted(name, observe=observe)
    return round_outcomes(federation.federation.journal.events(), name)


def say_rounds(outcomes: list[RoundOutcome]) -> None:
    """Print the verdict of every round that was judged or abandoned."""
    for one in outcomes:
        if one.verdict != "provisional":
            typer.echo(str(one))
    provisional = sum(one.verdict == "provisional" for one in outcomes)
    if provisional:
        typer.echo(
            f"{provisional} rounds in between are provisional: the plan does not judge them."
        )


@contextmanager
def _progress(plan: TrainingPlan, *, done: int) -> Iterator[Callable[[Facts], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("Training", total=plan.rounds, completed=done)

        def observe(facts: Facts) -> None:
            match facts:
                case RoundMoved(target=target) if target in ENDS:
                    bar.advance(task)
                case VerdictGiven(verdict=verdict):
                    bar.update(
                        task, description=f"Training ({verdict.outcome} in round {verdict.round})"
                    )
                case _:
                    pass

        yield observe
