"""`aggregator roster`: who has joined, and who counts no more."""

from pathlib import Path
from typing import Annotated

import typer

from aggregator.cli.options import Heard, Home, Json, read_request_file
from aggregator.config import AggregatorHome
from aggregator.federation import opened, stored_roster
from aggregator.rotation import read_rotation, replaced, service_replaced
from schemas.command_line import say_json
from schemas.files import write_durably
from schemas.names import now

app = typer.Typer(help="Who has joined the federation, and whose key counts no more.")


@app.command("list")
def show(home: Home, json: Json = False) -> None:
    """Show the members and the revoked keys.

    Example: aggregator roster list --home /srv/federation
    """
    roster = stored_roster(AggregatorHome(home))
    if json:
        say_json(roster.model_dump(mode="json"))
        return
    typer.echo(f"{roster.federation}, roster {roster.serial}")
    for one in roster.members:
        reach = "over the network" if one.transport else "on this machine only"
        typer.echo(f"{one.site}  {one.key}  since {one.since[:10]}, {reach}")
    at = now()
    for one in roster.members:
        if not one.is_valid(at):
            typer.echo(f"{one.site}  EXPIRED {str(one.until)[:10]}")
    for gone in roster.revoked:
        typer.echo(f"{gone.site}  {gone.key}  revoked {gone.at[:10]}")


@app.command("rotate")
def rotate(  # noqa: PLR0913 - the options of a command
    *,
    request: Annotated[
        Path, typer.Argument(metavar="REQUEST", help="The hospital's file, from enrol rotate.")
    ],
    home: Home,
    digest: Heard,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write the answer.")],
    compromised: Annotated[
        bool, typer.Option("--compromised", help="The old key was lost or stolen: revoke it.")
    ] = False,
    json: Json = False,
) -> None:
    """Put a site's new keys in the place of its old ones; both sign the request.

    Before that, hear the request's digest from the hospital by another way, such as by telephone:
    whoever stole the old key can sign a request too. A file with another digest is refused. What
    the old keys signed before still counts, unless they were compromised.

    Example: aggregator roster rotate north.rotation.json --home /srv/federation
    --digest sha256:… --out north.admission.json
    """
    content = read_request_file(request, digest)
    with opened(home, command="roster-rotate") as federation:
        rotation = read_rotation(federation.roster(), content)
        answer = replaced(federation, rotation, is_compromised=compromised)
    write_durably(out, answer.canonical())
    site = rotation.member.site
    if json:
        say_json({"request": digest, "site": site})
        return
    typer.echo(f"{site} goes on under new keys.")
    typer.echo(f"The answer is {out.name}; the site's node is let in once it is installed.")


@app.command("rotate-service")
def rotate_service(
    home: Home,
    leave_runs: Annotated[
        bool, typer.Option("--leave-runs", help="Give up runs that are under way.")
    ] = False,
    json: Json = False,
) -> None:
    """Replace this aggregator's own key, which signs requests and the journal.

    The sites get the new roster with the next request; the root key vouches for it. Restart
    `aggregator serve` afterwards.

    Example: aggregator roster rotate-service --home /srv/federation
    """
    with opened(home, command="roster-rotate-service") as federation:
        roster = service_replaced(federation, leave_runs=leave_runs)
    if json:
        say_json({"key": roster.aggregator, "serial": roster.serial})
        return
    typer.echo(f"The service key is {roster.aggregator} now; this is roster {roster.serial}.")


@app.command("revoke")
def revoke(
    home: Home,
    site: Annotated[str, typer.Option("--site", help="The site whose key was lost or abused.")],
    json: Json = False,
) -> None:
    """Take a site off the roster: the relay lets it in no more, and its replies are refused.

    Its key never comes back; the site joins again with a new home and a new request.

    Example: aggregator roster revoke --home /srv/federation --site north
    """
    with opened(home, command="roster-revoke") as federation:
        roster = federation.revoke(site)
    if json:
        say_json({"revoked": site, "serial": roster.serial})
        return
    typer.echo(f"{site} is revoked; this is roster {roster.serial}.")
