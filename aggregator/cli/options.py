"""Options that several commands share."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from schemas.errors import InputRefused
from schemas.names import Moment, digest_of, moment_of

Home: TypeAlias = Annotated[
    Path, typer.Option("--home", help="The aggregator's home directory.", metavar="DIR")
]
Metrics: TypeAlias = Annotated[
    str,
    typer.Option("--metrics", metavar="HOST:PORT", help="Answer /health and /metrics on loopback."),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Days: TypeAlias = Annotated[
    int, typer.Option("--days", help="The keys expire after these; 0: never.", min=0, max=36_500)
]
Heard: TypeAlias = Annotated[
    str,
    typer.Option(
        "--digest", metavar="DIGEST", help="The request's digest, as the hospital read it to you."
    ),
]


def read_request_file(path: Path, heard: str) -> bytes:
    """Read a hospital's request, if its digest is the one that was heard by another way.

    Raises:
        InputRefused: it cannot be read, or is another file than the hospital wrote.
    """
    content = read_file(path, "request")
    found = digest_of(content)
    if heard != found:
        message = f"request refused: {path.name} has the digest {found}, and {heard} was heard"
        next_step = "ask the hospital to read the digest again, by another way than the file came"
        raise InputRefused(message, next_step=next_step)
    return content


def lasting(days: int, start: Moment) -> Moment | None:
    """Return when keys expire; None: never."""
    return moment_of(datetime.fromisoformat(start) + timedelta(days=days)) if days else None


def read_file(path: Path, what: str) -> bytes:
    """Read a file that a person names.

    Raises:
        InputRefused: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError:
        message = f"{what} refused: {path.name} cannot be read"
        raise InputRefused(message, next_step="check the file's name and permissions") from None
