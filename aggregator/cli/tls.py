"""`aggregator tls`: the certificate that hospitals are shown."""

from pathlib import Path
from typing import Annotated

import typer

from aggregator.cli.options import Home, Json, read_file
from aggregator.config import AggregatorHome, load_config
from aggregator.tls import install_tls, renew_tls
from schemas.command_line import say_json
from schemas.errors import HomeRefused
from schemas.names import Address, moment_of

app = typer.Typer(help="The certificate that hospitals are shown, and who vouches for it.")


@app.command("renew")
def renew(home: Home, json: Json = False) -> None:
    """Make a new certificate under this home's own authority; hospitals need nothing new.

    `aggregator serve` shows it after a restart.

    Example: aggregator tls renew --home /srv/federation
    """
    paths = AggregatorHome(home)
    _say(moment_of(renew_tls(paths.tls, address=_address(paths))), json=json)


@app.command("install")
def install(
    home: Home,
    certificate: Annotated[
        Path, typer.Option("--certificate", metavar="FILE", help="It, and those above it, in PEM.")
    ],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="Its key, in PEM.")],
    authority: Annotated[
        Path, typer.Option("--authority", metavar="FILE", help="Who vouches for it, in PEM.")
    ],
    json: Json = False,
) -> None:
    """Show a certificate that another authority vouches for.

    Hospitals trust the authority that their admission names: install it before they enrol, or let
    them install a new admission.

    Example: aggregator tls install --home /srv/federation --certificate f.pem --key f.key
    --authority ca.pem
    """
    paths = AggregatorHome(home)
    _address(paths)
    until = install_tls(
        paths.tls,
        certificates=read_file(certificate, "certificate"),
        key=read_file(key, "key"),
        authority=read_file(authority, "authority"),
    )
    _say(moment_of(until), json=json)


def _say(until: str, *, json: bool) -> None:
    if json:
        say_json({"until": until})
        return
    typer.echo(f"The certificate counts until {until[:10]}. Restart: aggregator serve")


def _address(paths: AggregatorHome) -> Address:
    address = load_config(paths).address
    if address is None:
        message = "certificate refused: this aggregator has no address that a hospital could call"
        raise HomeRefused(message, next_step="make a home with: aggregator init --address …")
    return address
