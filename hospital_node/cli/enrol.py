"""`hospital-node enrol`: join a federation over a network."""

from pathlib import Path
from typing import Annotated

import typer

from hospital_node.cli.options import Home, Json
from hospital_node.enrolment import install, request
from hospital_node.node import Node, opened
from hospital_node.rotation import rotation
from schemas.command_line import say_json
from schemas.errors import InputRefused
from schemas.files import write_durably
from schemas.names import digest_of

app = typer.Typer(help="Join a federation: a request with this node's public keys, and its answer.")


@app.command("request")
def make_request(
    home: Home,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it.")],
    json: Json = False,
) -> None:
    """Write a signed request to join; hand it to the aggregator. It holds no secret.

    Read the digest to the aggregator over another way, so that both know it is the same file.

    Example: hospital-node enrol request --home /srv/consilium --out north.request.json
    """
    with opened(home, command="enrol-request") as node:
        _hand_over(node, request(node), out, json=json)


@app.command("rotate")
def rotate(
    home: Home,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it.")],
    json: Json = False,
) -> None:
    """Make new keys, and write a request to go on under them; old and new key sign it.

    Nothing changes until the aggregator's answer is installed. Read the digest to the aggregator
    over another way.

    Example: hospital-node enrol rotate --home /srv/consilium --out north.rotation.json
    """
    with opened(home, command="enrol-rotate") as node:
        _hand_over(node, rotation(node), out, json=json)


@app.command("install")
def install_admission(
    admission: Annotated[
        Path, typer.Argument(metavar="ADMISSION", help="The aggregator's answer.")
    ],
    home: Home,
    json: Json = False,
) -> None:
    """Join the federation, if its root key has the fingerprint that this node was told.

    Example: hospital-node enrol install north.admission.json --home /srv/consilium
    """
    try:
        content = admission.read_bytes()
    except OSError:
        message = f"admission refused: {admission.name} cannot be read"
        raise InputRefused(message, next_step="check the file's name and permissions") from None
    with opened(home, command="enrol-install") as node:
        found = install(node, content)
    if json:
        say_json({"address": found.address, "federation": found.federation, "site": found.site})
        return
    typer.echo(f"{found.site} has joined {found.federation}, which is reached at {found.address}.")


def _hand_over(node: Node, content: bytes, out: Path, *, json: bool) -> None:
    """Write a request, and tell the digest that both sides compare over another way."""
    write_durably(out, content)
    if json:
        say_json({"request": digest_of(content), "site": node.config.site})
        return
    typer.echo(f"Wrote {out.name}. Its digest is {digest_of(content)}")
