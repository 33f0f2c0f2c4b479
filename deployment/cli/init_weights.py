"""`consilium init-weights`: make a plan's initial arrays and pin the plan."""

from pathlib import Path
from typing import Annotated

import typer

from aggregator.material import arrays_path
from deployment.material import pin
from hospital_node.privacy.forecast import GatePower, gate_power
from schemas.command_line import say_json
from schemas.gate_power import POWER, notable
from schemas.plan import FROZEN_SUFFIX


def init_weights(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan's TOML file.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Pretrained weights, as safetensors."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make the arrays that training starts from; pin them and the contract in the plan by digest.

    Hospitals approve the plan's digest that this prints; any later edit changes it. What the plan
    does not train is written apart: give that file to the hospitals with the plan.

    Example: consilium init-weights chest-xray.plan.toml --from densenet121.safetensors
    """
    made = pin(plan, source=source)
    noticed = gate_power(made.plan, made.contract)
    initial = made.plan.initial
    if json:
        say_json(
            {
                "plan": made.plan.digest,
                "arrays": initial.arrays,
                "frozen": initial.frozen,
                "pretrained": initial.pretrained,
                "from_seed": list(made.from_seed) if source is not None else None,
                "contract": made.plan.contract.pinned,
                "gate_power": noticed.model_dump(mode="json"),
            }
        )
        return
    typer.echo(f"Wrote {arrays_path(plan).name} and pinned {plan.name}.")
    if initial.frozen is not None:
        typer.echo(f"Give {plan.with_suffix(FROZEN_SUFFIX).name} to the hospitals with the plan.")
    if source is not None:
        left = ", ".join(made.from_seed) or "nothing"
        typer.echo(f"Taken from {source.name}; from the seed: {left}.")
    _say_power(noticed)
    typer.echo(f"The plan's digest is {made.plan.digest}")


def _say_power(noticed: GatePower) -> None:
    """Print which losses the gate would notice, before any patient pays for an evaluation."""
    alone = "; ".join(f"{site} {notable(least)}" for site, least in noticed.sites.items())
    typer.echo(
        f"The gate notices a loss of AUROC, {POWER:.0%} of the time, from: "
        f"at all sites alike {notable(noticed.stratified)}"
        + (f"; at one site alone: {alone}" if alone else "")
    )
    typer.echo(f"Assumed: {noticed.assumes}.")
