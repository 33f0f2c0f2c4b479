"""`consilium init-weights`: make a plan's initial arrays and pin the plan."""

from pathlib import Path
from typing import Annotated

import typer

from deployment.material import arrays_path, pin
from schemas.command_line import say_json


def init_weights(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan's TOML file.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make the arrays that training starts from; pin them and the contract in the plan by digest.

    Hospitals approve the plan's digest that this prints; any later edit changes it.

    Example: consilium init-weights chest-xray.plan.toml
    """
    pinned, digest = pin(plan)
    if json:
        say_json(
            {"plan": digest, "arrays": pinned.initial.arrays, "contract": pinned.contract.pinned}
        )
        return
    typer.echo(f"Wrote {arrays_path(plan).name} and pinned {plan.name}.")
    typer.echo(f"The plan's digest is {digest}")
