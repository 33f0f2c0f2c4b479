"""`hospital-node cohort`: the hospital's images under a contract.

All that is printed here stays at the hospital.
"""

import typer

from hospital_node.cli.options import ContractFile, Home, Json, read_contract
from hospital_node.cli.summary import say_cohort, summary
from hospital_node.cohort.sources.spool import spools
from hospital_node.cohort.store import open_cohort, stored_contracts
from hospital_node.config import NodeHome, load_config
from hospital_node.node import opened
from schemas.command_line import say_json

app = typer.Typer(help="The cohort: DICOM in, the contract checked, nobody identifiable.")


@app.command("check")
def check(*, home: Home, contract: ContractFile, json: Json = False) -> None:
    """Verify that the stored cohort is what was ingested, and show what its checks noticed.

    Example: hospital-node cohort check --home DIR --contract FILE
    """
    paths, agreed = NodeHome(home), read_contract(contract)
    load_config(paths)
    cohort = open_cohort(paths.cohort, agreed.digest)
    say_cohort(agreed, cohort.manifest, cohort.findings, json=json)


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
