"""`aggregator init`: make an aggregator's home."""

from typing import Annotated

import typer

from aggregator.cli.options import Home, Json
from aggregator.config import AggregatorHome
from aggregator.federation import make
from schemas.command_line import say_json
from schemas.wire.keys import SigningKey


def init(
    home: Home,
    name: Annotated[str, typer.Option("--name", help="The federation's name.")],
    json: Json = False,
) -> None:
    """Make a home: root and service keys, an empty roster, journal and model store.

    Example: aggregator init --home /srv/federation --name chest-study
    """
    config = make(home, federation=name)
    root = SigningKey.load(AggregatorHome(home).root_key).public
    if json:
        say_json({"federation": config.federation, "root_key": root})
        return
    typer.echo(f"Made the aggregator of {config.federation}. Its root key is {root}")
    typer.echo(
        "Hand the root key to each hospital out of band; keep keys/root offline between enrolments."
    )
