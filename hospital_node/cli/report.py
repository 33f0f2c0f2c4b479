"""`hospital-node cohort report`: the signed answer to a contract, which leaves the hospital."""

from pathlib import Path
from typing import Annotated, get_args

import typer

from hospital_node.cli.options import Approver, ContractFile, Home, Json, named, read_contract
from hospital_node.conformance import reported
from hospital_node.node import opened
from schemas.command_line import say_json
from schemas.conformance import ConformanceReport
from schemas.errors import InputRefused
from schemas.manifest import Part
from schemas.names import digest_of
from schemas.wire.envelope import opened as opened_envelope


def report(  # noqa: PLR0913 - the options of a command
    *,
    home: Home,
    contract: ContractFile,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it.")],
    approver: Approver,
    declare: Annotated[
        list[str] | None,
        typer.Option("--declare", metavar="PART=PATIENTS", help="A count that you make public."),
    ] = None,
    json: Json = False,
) -> None:
    """Write the signed report on the stored cohort: conforms or not, and what is disclosed.

    It holds no finding and no count but those that the contract discloses: declared by you in
    public, or noised and charged to the ledger. The same cohort gets the same report.

    Example: hospital-node cohort report --home DIR --contract FILE --out FILE --approver NAME
    """
    named(approver)
    agreed, declared = read_contract(contract), _declared(declare or [])
    with opened(home, command="cohort-report") as node:
        content = reported(node, agreed, declared=declared, approver=approver)
        found = opened_envelope(content, ConformanceReport, key=node.keys)
    out.write_bytes(content)
    if json:
        say_json({"code": found.code, "contract": found.contract, "report": digest_of(content)})
    else:
        typer.echo(f"{agreed.id} {agreed.version}: {found.code}; wrote {out.name}")


def _declared(words: list[str]) -> dict[Part, int]:
    found: dict[Part, int] = {}
    for word in words:
        name, _, count = word.partition("=")
        part = next((one for one in get_args(Part) if one == name), None)
        if part is None or part in found or not (count.isascii() and count.isdigit()):
            message = (
                "count refused: --declare takes train=PATIENTS or validation=PATIENTS, each once"
            )
            raise InputRefused(message, next_step="state a whole number that you make public")
        found[part] = int(count)
    return found
