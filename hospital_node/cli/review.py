"""`hospital-node cohort review`: a person looks at quarantined images and decides.

All that is printed here stays at the hospital.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from hospital_node.cli.options import Home, Json, named
from hospital_node.cohort.quarantine import Decision, Quarantined, decide, pictures, waiting
from hospital_node.cohort.sheet import contact_sheet
from hospital_node.node import Node, opened
from schemas.audit.events import ImageReviewed
from schemas.command_line import say_json
from schemas.errors import InputRefused
from schemas.files import write_durably

SHEET = "review.html"
MAX_SHOWN = 100
"""Files on one page."""
_FILE = re.compile(r"[0-9a-f]{32}")


class Verdict(StrEnum):
    """What becomes of an image."""

    use = "use"
    refuse = "refuse"


def review(
    *,
    home: Home,
    verdict: Annotated[
        Verdict | None,
        typer.Option("--decide", help="What becomes of the named files at the next ingest."),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--file", metavar="NAME", help="A file by its name on the page; again for more."
        ),
    ] = None,
    approver: Annotated[
        str, typer.Option("--approver", help="Name and role of the person who looked.")
    ] = "",
    json: Json = False,
) -> None:
    """Show quarantined images on a local page, or write down what a named person decided.

    Without --decide, HOME/review.html shows what waits. A decision stands in the journal with the
    person's name; the next ingest obeys it. Pictures go when they are decided about.

    Example: hospital-node cohort review --home DIR

    Example: hospital-node cohort review --home DIR --decide use --file NAME --approver "A. Steward"
    """
    chosen = _chosen(verdict, files or [], approver)
    with opened(home, command="cohort-review") as node:
        if verdict is not None:
            _decided(node, chosen, verdict, approver)
        left = waiting(node.cohort_folder)
        _written(node, left)
    _say(left, decided=len(chosen), json=json)


def _chosen(verdict: Verdict | None, files: Sequence[str], approver: str) -> Sequence[str]:
    if (verdict is None) == bool(files) or any(not _FILE.fullmatch(one) for one in files):
        message = (
            "decision refused: --decide and --file belong together; a name has 32 digits and "
            "letters, as on the page"
        )
        raise InputRefused(message, next_step="hospital-node cohort review --home DIR lists them")
    if verdict is not None:
        named(approver)
    return tuple(dict.fromkeys(files))


def _decided(node: Node, files: Sequence[str], verdict: Verdict, approver: str) -> None:
    """Write all decisions down, each in the journal before it counts.

    Raises:
        InputRefused: one of the files does not wait; then nothing is decided.
    """
    records = {one.file: one for one in waiting(node.cohort_folder)}
    if any(one not in records for one in files):
        message = "decision refused: a file of this name does not wait; nothing was decided"
        raise InputRefused(message, next_step="hospital-node cohort review --home DIR lists them")
    for one in files:
        decision = Decision(
            file=one,
            codes=records[one].codes,
            verdict="use" if verdict is Verdict.use else "refuse",
            reviewer=approver,
            decided=node.clock(),
        )
        event = ImageReviewed(
            contract=records[one].contract, verdict=decision.verdict, approver=approver
        )
        node.journal.append(event, private=decision)
        decide(node.cohort_folder, decision)


def _written(node: Node, left: Sequence[Quarantined]) -> None:
    """Replace the page by one of what still waits; remove it when nothing does."""
    path = node.home.root / SHEET
    if not left:
        path.unlink(missing_ok=True)
        return
    shown = left[:MAX_SHOWN]
    pages = [
        (one, [path.read_bytes() for path in pictures(node.cohort_folder, one.file)])
        for one in shown
    ]
    sheet = contact_sheet(pages, left=len(left) - len(shown))
    write_durably(path, sheet.encode(), mode=0o600)


def _say(left: Sequence[Quarantined], *, decided: int, json: bool) -> None:
    if json:
        listed = [
            {"file": one.file, "codes": list(one.codes), "frames": one.frames} for one in left
        ]
        say_json({"decided": decided, "waiting": listed, "page": SHEET if left else None})
        return
    if decided:
        typer.echo(f"{decided} decided; the next ingest obeys")
    for one in left:
        typer.echo(f"{one.file}: {', '.join(one.codes)}")
    typer.echo(f"{len(left)} wait; {SHEET} in the home shows them" if left else "no image waits")
