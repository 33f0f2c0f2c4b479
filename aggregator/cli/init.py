"""`aggregator init`: make an aggregator's home."""

from typing import Annotated

import typer

from aggregator.cli.options import Home, Json
from aggregator.config import AggregatorHome, load_root
from aggregator.federation import make
from schemas.command_line import say_json
from schemas.enrolment import fingerprint_of


def init(
    home: Home,
    name: Annotated[str, typer.Option("--name", help="The federation's name.")],
    address: Annotated[
        str,
        typer.Option("--address", help="HOST:PORT that hospitals will call, for a network."),
    ] = "",
    json: Json = False,
) -> None:
    """Make a home: root and service keys, an empty roster, journal and model store.

    With --address also a TLS authority and the certificate for that address.

    Example: aggregator init --home /srv/federation --name chest-study
    """
    config = make(home, federation=name, address=address)
    root = load_root(AggregatorHome(home))
    fingerprint = fingerprint_of(root)
    if json:
        say_json({"federation": config.federation, "fingerprint": fingerprint, "root_key": root})
        return
    typer.echo(f"Made the aggregator of {config.federation}. Its root key is {root}")
    typer.echo(f"The root key's fingerprint is {fingerprint}")
    typer.echo(
        "Hand the root key to each hospital out of band; keep keys/root offline between enrolments."
    )
