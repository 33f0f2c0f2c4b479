"""`hospital-node cohort`: the hospital's images under a contract.

All that is printed here stays at the hospital.
"""

from enum import StrEnum
from typing import Annotated

import typer

from hospital_node.cli.options import ContractFile, Home, Json, read_contract
from hospital_node.cli.summary import say_cohort, summary
from hospital_node.cohort.findings import conforms
from hospital_node.cohort.sources.spool import spools
from hospital_node.cohort.store import open_cohort, stored_contracts
from hospital_node.cohort.survey import reference_of
from hospital_node.config import NodeHome, load_config
from hospital_node.node import opened
from schemas.command_line import say_json, say_refusal
from schemas.errors import CohortRefused, InputRefused
from schemas.reference import ReferenceHistogram

app = typer.Typer(help="The cohort: DICOM in, the contract checked, nobody identifiable.")


class Format(StrEnum):
    """How findings are shown."""

    text = "text"
    json = "json"


@app.command("check")
def check(
    *,
    home: Home,
    contract: ContractFile,
    form: Annotated[Format, typer.Option("--format", help="For people or for programs.")] = (
        Format.text
    ),
) -> None:
    """Verify that the stored cohort is what was ingested, and show what its checks noticed.

    Ends with 0 when it conforms, with 1 when it does not, is not what was ingested, or none is
    stored, and with 2 when the contract cannot be read.

    Example: hospital-node cohort check --home DIR --contract FILE --format json
    """
    paths, agreed = NodeHome(home), read_contract(contract)
    load_config(paths)
    try:
        cohort = open_cohort(paths.cohort, agreed.digest)
    except CohortRefused as refusal:
        say_refusal(refusal)
        raise typer.Exit(1) from None
    say_cohort(agreed, cohort.manifest, cohort.findings, json=form is Format.json)
    if not conforms(cohort.findings):
        raise typer.Exit(1)


@app.command("histogram")
def histogram(
    *,
    home: Home,
    contract: ContractFile,
    ends: Annotated[
        tuple[float, float], typer.Option("--range", help="Ends of the first and last bin.")
    ],
    bins: Annotated[int, typer.Option(min=2, max=256, help="How many equal bins.")] = 16,
    json: Json = False,
) -> None:
    """Print how the stored cohort's pixels are distributed, as a contract's [reference].

    For the study lead, on images that may be shown. At a hospital this is about its patients: no
    noise is added and nothing is charged, so it must not leave.

    Example: hospital-node cohort histogram --home DIR --contract FILE --range -3 3
    """
    paths, agreed = NodeHome(home), read_contract(contract)
    load_config(paths)
    low, high = ends
    if not low < high:
        message = f"histogram refused: {low:g} is not below {high:g}"
        raise InputRefused(message, next_step="name a range: --range LOW HIGH")
    cohort = open_cohort(paths.cohort, agreed.digest)
    found = reference_of(cohort, ReferenceHistogram.even(low, high, bins=bins))
    if json:
        say_json({"reference": found.model_dump(mode="json")})
        return
    shares = ", ".join(str(one) for one in found.shares)
    typer.echo(f"[reference]\nlow = {low}\nhigh = {high}\nshares = [{shares}]")
    typer.echo(f"most_distance = {found.most_distance}")


@app.command("show")
def show(*, home: Home, json: Json = False) -> None:
    """Show every stored cohort: what became of its files, and its classes and parts.

    Example: hospital-node cohort show --home /srv/consilium
    """
    paths = NodeHome(home)
    load_config(paths)
    cohorts = [open_cohort(paths.cohort, one.digest) for one in stored_contracts(paths.cohort)]
    if json:
        listed = [summary(one.contract, one.manifest, one.findings) for one in cohorts]
        say_json({"cohorts": listed})
        return
    if not cohorts:
        typer.echo("no cohort is stored here")
    for one in cohorts:
        say_cohort(one.contract, one.manifest, one.findings, json=False)


@app.command("clear-spool")
def clear_spool(*, home: Home, json: Json = False) -> None:
    """Remove what was fetched from an archive and not ingested: patients' images, names included.

    Example: hospital-node cohort clear-spool --home DIR
    """
    with opened(home, command="cohort-clear-spool") as node:
        left = spools(node.home.spool)
        for one in left:
            one.discard()
    if json:
        say_json({"removed": len(left)})
    else:
        typer.echo(f"removed {len(left)} spool{'' if len(left) == 1 else 's'}")
