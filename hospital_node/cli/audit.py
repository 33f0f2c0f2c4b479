"""`hospital-node audit`: this hospital's own journal."""

import typer

from hospital_node.cli.options import Home, Json
from hospital_node.config import NodeHome, load_config
from schemas.audit.journal import refuse_empty, verified
from schemas.command_line import say_json
from schemas.wire.keys import SigningKey, former_keys

app = typer.Typer(help="This hospital's journal: what it did, and proof that no line was changed.")


@app.command("verify")
def verify(home: Home, json: Json = False) -> None:
    """Hold every event of the journal against its signed tree head.

    Example: hospital-node audit verify --home /srv/consilium
    """
    paths = NodeHome(home)
    site = load_config(paths).site
    keys = (SigningKey.load(paths.signing_key).public, *former_keys(paths.keys))
    head = verified(paths.journal, origin=f"site/{site}", key=keys)
    refuse_empty(head.size)
    if json:
        say_json({"events": head.size, "origin": head.origin, "root": head.root.hex()})
        return
    typer.echo(f"{head.size} events match the signed tree head of {head.origin}.")
