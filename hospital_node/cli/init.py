"""`hospital-node init`: make a node's home."""

from typing import Annotated

import typer

from hospital_node.cli.options import Home, Json
from hospital_node.config import NodeHome, make_home
from hospital_node.node import opened
from hospital_node.policy import DEFAULT_POLICY
from hospital_node.privacy import ledger
from schemas.command_line import say_json
from schemas.files import write_durably


def init(
    home: Home,
    site: Annotated[str, typer.Option("--site", help="The site's name in the federation.")],
    json: Json = False,
) -> None:
    """Make a home: keys, an empty policy that approves nothing, an empty ledger and journal.

    Example: hospital-node init --home /srv/consilium --site guangzhou
    """
    config = make_home(home, site=site)
    paths = NodeHome(home)
    write_durably(paths.policy, DEFAULT_POLICY.encode())
    ledger.create(paths.ledger)
    with opened(home, command="init", new=True) as node:
        key = node.key.public
    if json:
        say_json({"site": config.site, "key": key})
        return
    typer.echo(f"Made the node of {config.site}. Its public key is {key}")
    typer.echo("Back up the folder keys/ apart from the data; it never leaves this hospital.")
