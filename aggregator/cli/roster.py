"""`aggregator roster`: who has joined, and who counts no more."""

from typing import Annotated

import typer

from aggregator.cli.options import Home, Json
from aggregator.config import AggregatorHome
from aggregator.federation import opened, stored_roster
from schemas.command_line import say_json

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
    for gone in roster.revoked:
        typer.echo(f"{gone.site}  {gone.key}  revoked {gone.at[:10]}")


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
