"""`consilium simulate`: play a plan at invented hospitals, before there is a study."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from aggregator.material import read_contract, read_text
from deployment.invented_sites import Scenario
from deployment.poison import Attack
from deployment.simulation import Watch, simulated
from deployment.simulation_page import page
from deployment.simulation_records import Simulation
from schemas.command_line import say_json
from schemas.errors import InputRefused
from schemas.files import write_durably
from schemas.plan import TrainingPlan


def simulate(  # noqa: PLR0913, PLR0917 - a scenario's parameters, as a person types them
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan's TOML file.")],
    sites: Annotated[int, typer.Option("--sites", min=1, max=1000, help="Invented hospitals.")],
    patients: Annotated[
        int, typer.Option("--patients", min=8, max=10_000, help="Patients of each.")
    ] = 60,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, help="Rounds; else the plan's.")
    ] = None,
    dropout: Annotated[
        float,
        typer.Option("--dropout", min=0, max=1, help="Probability to be away in a round."),
    ] = 0.0,
    skew: Annotated[
        float,
        typer.Option("--skew", min=0, max=1, help="How far the hospitals' prevalences spread."),
    ] = 0.0,
    poisoners: Annotated[
        int, typer.Option("--poisoners", min=0, help="Hospitals that poison.")
    ] = 0,
    attack: Annotated[Attack, typer.Option("--attack", help="What they do.")] = "sign-flip",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all that is drawn.")] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A new page with table and plot.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Play a plan at many invented hospitals that take turns, and show how good its models become.

    Network, work, privacy, aggregation and gate are the plan's; patients are invented chest X-rays
    at its contract's size. Everything happens in a temporary folder.

    Example: consilium simulate study.plan.toml --sites 20 --dropout 0.2 --skew 0.5 --out study.html
    """
    if out is not None and out.exists():
        message = f"output refused: {out.name} is there already"
        raise InputRefused(message, next_step="name a new --out")
    if poisoners > sites:
        message = f"simulation refused: {poisoners} of {sites} hospitals cannot poison"
        raise InputRefused(message, next_step="name fewer --poisoners")
    wanted = TrainingPlan.from_toml(read_text(plan, "plan"))
    contract = read_contract(plan, wanted)
    wanted = wanted.model_copy(update={"rounds": rounds or wanted.rounds})
    scenario = Scenario(sites, patients, dropout, skew, poisoners, attack, seed)
    with _scratch() as folder, _progress() as watch:
        found = simulated(wanted, contract, scenario, folder=folder, watch=watch)
    if out is not None:
        write_durably(out, page(found).encode())
    if json:
        say_json(found.model_dump(mode="json"))
        return
    _say(found)


@contextmanager
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="consilium-simulation-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _progress() -> Iterator[Watch]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def watch(stage: str, done: int, of: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=of)
            bar.update(tasks[stage], completed=done)

        yield watch


def _say(found: Simulation) -> None:
    table = Table(title=f"{found.plan} at {found.sites} invented hospitals")
    for column in ("round", "updates", "left out", "verdict", "AUROC released", "AUROC held out"):
        table.add_column(column)
    for one in found.rounds:
        figures = ("" if x is None else f"{x:.3f}" for x in (one.released, one.held_out))
        left_out = ", ".join(one.quarantined)
        table.add_row(str(one.round), str(one.updates), left_out, one.verdict, *figures)
    Console().print(table)
    accepted = "no model" if found.accepted_round is None else f"round {found.accepted_round}"
    typer.echo(f"Accepted: {accepted}. Ended: {found.ended}")
