"""`consilium prove`: one event of the aggregator's log, and how `consilium verify` holds its proof.

* A proof is held against a log's key that the reviewer names; the file vouches for none.
"""

import json as json_text
import shlex
from pathlib import Path
from typing import Annotated

import typer

from aggregator.config import AggregatorHome, load_config
from schemas.audit.notes import aggregator_origin, claimed_head, of_vkey, vkey
from schemas.audit.proof import FORM, proof_of, read_proof
from schemas.audit.verification.parties import of_policy
from schemas.command_line import say_json
from schemas.errors import InputRefused, JournalDamaged
from schemas.files import write_durably
from schemas.wire.keys import SigningKey


def prove(
    index: Annotated[int, typer.Argument(metavar="INDEX", help="The event's index, from 0.")],
    home: Annotated[Path, typer.Option("--home", metavar="DIR", help="The aggregator's home.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A new file.")],
) -> None:
    """Prove that one event stands in the aggregator's log, without showing any other.

    The file holds the event, its path to the signed head, and the head.

    Example: consilium prove 17 --home agg --out event-17.proof
    """
    if out.exists():
        message = f"proof refused: {out.name} is here already, and is never written over"
        raise InputRefused(message, next_step="name a new file with --out")
    paths = AggregatorHome(home)
    origin = aggregator_origin(load_config(paths).federation)
    key = SigningKey.load(paths.service_key).public
    proof = proof_of(paths.journal, index, origin=origin, key=key)
    write_durably(out, proof.text().encode())
    typer.echo(f"{out}: event {index} under the head of {proof.head.size} events of {origin}")
    typer.echo(
        "Verify it, on any machine: "
        f"consilium verify {shlex.quote(str(out))} --key {vkey(origin, key)}"
    )


def is_proof(file: Path) -> bool:
    """Say whether a file claims to be a proof."""
    with file.open("rb") as opened:
        return opened.read(len(FORM)) == FORM.encode()


def hold_proof(file: Path, *, policy: str | None, key: str, json: bool) -> None:
    """Verify an event's proof against a key that the reviewer names, and show the event.

    Raises:
        InputRefused: no proof, or no key of its log is named.
        PolicyUnfit: a policy that cannot be read.
    """
    text = file.read_text(encoding="utf-8")
    head = claimed_head(text.partition("\n\n")[2])
    origin = "" if head is None else head.origin
    named = _named(origin, policy, key)
    try:
        proof = read_proof(text, origin=origin, key=named)
    except JournalDamaged as error:
        if json:
            say_json({"verdict": "refuted", "log": origin, "found": error.message})
        else:
            typer.echo(f"FAULT: {error.message}")
            typer.echo("REFUTED")
        raise typer.Exit(1) from None
    event = json_text.loads(proof.event)
    if json:
        told = {"verdict": "verified", "log": origin, "index": proof.index}
        say_json(told | {"events": proof.head.size, "event": event})
        return
    typer.echo(proof.event.decode())
    size = proof.head.size
    typer.echo(f"Event {proof.index} stands in {origin}, under its signed head of {size} events.")
    typer.echo("Verified.")


def _named(origin: str, policy: str | None, key: str) -> str:
    """Return the key of a log that the reviewer trusts."""
    logs = dict(of_policy(policy).logs) if policy is not None else {}
    try:
        logs |= [of_vkey(key)] if key else []
    except ValueError:
        message = "proof refused: --key holds no log's name and key"
        raise InputRefused(message, next_step=_NEXT) from None
    if origin not in logs:
        message = f"proof refused: no key of the log {origin or '(none is named)'} was given"
        raise InputRefused(message, next_step=_NEXT)
    return logs[origin]


_NEXT = "give --key as consilium verify BUNDLE names it, or --policy FILE"
