"""`hospital-node cohort withdraw`: patients who withdrew leave the cohorts for good.

All that is printed here stays at the hospital.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from hospital_node.cli.options import Approver, Home, Json, named
from hospital_node.cohort.deidentification import pseudonym
from hospital_node.cohort.withdrawal import Withdrawal, withdraw
from hospital_node.node import opened
from schemas.audit.events import CohortWithdrawn
from schemas.command_line import say_json
from schemas.errors import InputRefused

_LONGEST = 64
"""Characters of a PatientID (PS3.5 section 6.2)."""


def withdraw_patients(
    *,
    home: Home,
    approver: Approver,
    patients: Annotated[
        Path,
        typer.Option(
            "--patients",
            metavar="FILE",
            help="PatientIDs, one in each line; - reads them from standard input.",
        ),
    ],
    json: Json = False,
) -> None:
    """Take patients out of every cohort of this home, and keep them out of later ones.

    Their pixels and pictures are removed. What was released before stays charged, and a model that
    learnt from them does not forget. A cohort that no longer conforms without them is removed.

    Example: hospital-node cohort withdraw --home DIR --patients FILE --approver "A. Steward, DPO"
    """
    named(approver)
    identifiers = _identifiers(patients)
    with opened(home, command="cohort-withdraw") as node:
        keyed = [pseudonym(one, key=node.pseudonym_key) for one in identifiers]
        result = withdraw(node.cohort_folder, keyed)
        node.journal.append(
            CohortWithdrawn(approver=approver, changed=result.changed, removed=result.removed)
        )
    _say(len(keyed), result, json=json)


def _identifiers(path: Path) -> list[str]:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        message = "patients refused: the file cannot be read as UTF-8"
        raise InputRefused(message, next_step="write one PatientID in each line") from None
    found = sorted({line.strip() for line in text.splitlines()} - {""})
    if not found or any(len(one) > _LONGEST for one in found):
        message = (
            f"patients refused: {len(found)} lines with text, of at most {_LONGEST} characters "
            "each; at least one is needed"
        )
        raise InputRefused(message, next_step="write one PatientID in each line")
    return found


def _say(asked: int, result: Withdrawal, *, json: bool) -> None:
    if json:
        say_json(
            {
                "patients": asked,
                "found": result.patients,
                "images": result.images,
                "changed": list(result.changed),
                "removed": list(result.removed),
            }
        )
        return
    typer.echo(
        f"{asked} patients withdrawn: {result.patients} stood in a cohort, with {result.images} "
        f"images; {len(result.changed)} cohorts go on without them, {len(result.removed)} no "
        "longer conform and were removed"
    )
    typer.echo("what was released before stays charged, and models do not forget")
