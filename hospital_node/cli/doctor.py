"""`hospital-node doctor`: whether this node can do its work."""

from dataclasses import asdict

import typer

from hospital_node.cli.options import Home, Json
from hospital_node.config import NodeHome
from hospital_node.doctor import examined
from schemas.command_line import say_json

FAULTS = 1
_MARKS = {"well": "ok   ", "note": "note ", "fault": "FAULT"}


def doctor(home: Home, json: Json = False) -> None:
    """Examine home, keys, policy, ledger, journal, disk, codecs, enrolment, line, clock and relay.

    Each line says what was found and what to do. Nothing is changed; it may run beside `serve`.
    Ends with 1 when there is a fault.

    Example: hospital-node doctor --home /srv/consilium
    """
    checks = []
    for one in examined(NodeHome(home)):
        checks.append(one)
        if not json:
            typer.echo(f"{_MARKS[one.outcome]} {one.name}: {one.found}")
            if one.next_step:
                typer.echo(f"      next: {one.next_step}")
    faults = sum(one.outcome == "fault" for one in checks)
    if json:
        say_json({"checks": [asdict(one) for one in checks], "faults": faults})
    raise typer.Exit(FAULTS if faults else 0)
