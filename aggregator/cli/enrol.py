"""`aggregator enrol`: let a hospital join."""

from pathlib import Path
from typing import Annotated

import typer

from aggregator.cli.options import Days, Home, Json, lasting, read_file
from aggregator.enrolment import approved, read_request
from aggregator.federation import opened
from schemas.command_line import say_json
from schemas.files import write_durably
from schemas.names import digest_of

app = typer.Typer(help="Let hospitals join: read their requests, and sign the answers.")


@app.command("approve")
def approve(
    request: Annotated[Path, typer.Argument(metavar="REQUEST", help="The hospital's file.")],
    home: Home,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write the answer.")],
    days: Days = 0,
    json: Json = False,
) -> None:
    """Put a hospital on the roster, and write the answer that it installs.

    Before that, hear the request's digest from the hospital by another way and compare.

    Example: aggregator enrol approve north.request.json --home /srv/federation --out
    north.admission.json
    """
    content = read_file(request, "request")
    wanted = read_request(content)
    with opened(home, command="enrol-approve") as federation:
        found = approved(federation, wanted, until=lasting(days, federation.clock()))
    write_durably(out, found.canonical())
    if json:
        say_json({"request": digest_of(content), "site": wanted.site, "software": wanted.software})
        return
    typer.echo(f"{wanted.site} has joined (software {wanted.software}).")
    typer.echo(f"The request's digest was {digest_of(content)}. The answer is {out.name}.")
