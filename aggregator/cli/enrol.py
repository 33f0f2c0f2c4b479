"""`aggregator enrol`: let a hospital join."""

from pathlib import Path
from typing import Annotated

import typer

from aggregator.cli.options import Days, Heard, Home, Json, lasting, read_request_file
from aggregator.enrolment import approved, read_request
from aggregator.federation import opened
from schemas.command_line import say_json
from schemas.files import write_durably

app = typer.Typer(help="Let hospitals join: read their requests, and sign the answers.")


@app.command("approve")
def approve(  # noqa: PLR0913 - the options of a command
    *,
    request: Annotated[Path, typer.Argument(metavar="REQUEST", help="The hospital's file.")],
    home: Home,
    digest: Heard,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write the answer.")],
    days: Days = 0,
    json: Json = False,
) -> None:
    """Put a hospital on the roster, and write the answer that it installs.

    Before that, hear the request's digest from the hospital by another way, such as by telephone.
    A file with another digest is refused.

    Example: aggregator enrol approve north.request.json --home /srv/federation
    --digest sha256:… --out north.admission.json
    """
    content = read_request_file(request, digest)
    wanted = read_request(content)
    with opened(home, command="enrol-approve") as federation:
        found = approved(federation, wanted, until=lasting(days, federation.clock()))
    write_durably(out, found.canonical())
    if json:
        say_json({"request": digest, "site": wanted.site, "software": wanted.software})
        return
    typer.echo(f"{wanted.site} has joined (software {wanted.software}).")
    typer.echo(f"The answer is {out.name}.")
