"""`hospital-node keys`: whether this home's private keys rest under a passphrase."""

import typer

from hospital_node.cli.options import Home, Json
from hospital_node.config import NodeHome, load_config
from schemas.command_line import say_json
from schemas.files import owned
from schemas.wire.key_files import lock_keys, protection, unlock_keys

app = typer.Typer(help="Private keys at rest: under a passphrase or not.")


@app.command("lock")
def lock(home: Home, json: Json = False) -> None:
    """Put this home's private keys under a passphrase; every later command needs it.

    It is read from a descriptor, a private file, a systemd credential or the terminal, never from
    an argument: docs/operations/keys.md. Nobody can restore a passphrase that was lost.

    Example: CONSILIUM_PASSPHRASE_FILE=/run/passphrase hospital-node keys lock --home /srv/consilium
    """
    keys = NodeHome(home).keys
    load_config(NodeHome(home))
    with owned(home):
        sealed = lock_keys(keys)
    _say(home, f"{len(sealed)} keys were put under the passphrase.", json=json)


@app.command("unlock")
def unlock(home: Home, json: Json = False) -> None:
    """Take the passphrase away: the keys rest as they are, in files that only their owner reads.

    To change a passphrase, unlock with the old one, then lock with the new one.

    Example: hospital-node keys unlock --home /srv/consilium
    """
    keys = NodeHome(home).keys
    load_config(NodeHome(home))
    with owned(home):
        unlock_keys(keys)
    _say(home, "No key is under a passphrase.", json=json)


def _say(home: Home, text: str, *, json: bool) -> None:
    if json:
        say_json({"protection": protection(NodeHome(home).keys)})
    else:
        typer.echo(text)
