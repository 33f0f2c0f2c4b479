"""`hospital-node init`: make a node's home."""

from typing import Annotated

import typer

from hospital_node.cli.options import Home, Json
from hospital_node.config import NodeHome
from hospital_node.node import make
from schemas.command_line import say_json
from schemas.wire.keys import SigningKey


def init(  # noqa: PLR0913, PLR0917 - the options of a command
    home: Home,
    site: Annotated[str, typer.Option("--site", help="The site's name in the federation.")],
    aggregator: Annotated[
        str, typer.Option("--aggregator", help="The aggregator's HOST:PORT, for a network.")
    ] = "",
    fingerprint: Annotated[
        str, typer.Option("--fingerprint", help="sha256:… of its root key, told by another way.")
    ] = "",
    lock: Annotated[
        bool, typer.Option("--lock", help="Make the keys under a passphrase: keys lock --help.")
    ] = False,
    json: Json = False,
) -> None:
    """Make a home: keys, an empty policy that approves nothing, an empty ledger and journal.

    Example: hospital-node init --home /srv/consilium --site guangzhou
    """
    config = make(home, site=site, address=aggregator, fingerprint=fingerprint, is_locked=lock)
    key = SigningKey.load(NodeHome(home).signing_key).public
    if json:
        say_json({"site": config.site, "key": key})
        return
    typer.echo(f"Made the node of {config.site}. Its public key is {key}")
    typer.echo("Back up the folder keys/ apart from the data; it never leaves this hospital.")
