"""`aggregator dashboard`: show a federation in a browser as it stands now."""

import ipaddress
import secrets
from pathlib import Path
from typing import Annotated

import typer

from aggregator.cli.options import Home
from aggregator.config import AggregatorHome
from schemas.command_line import until_told
from schemas.errors import InputRefused
from schemas.files import read_private

_LISTEN = "127.0.0.1:8650"
_LEAST_TOKEN = 16
_TOKEN_BYTES = 24
_MOST_LINES = 64


@until_told
def dashboard(
    home: Home,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where it answers.")
    ] = _LISTEN,
    token: Annotated[
        Path | None,
        typer.Option("--token", metavar="FILE", help="A private file; a new token if not given."),
    ] = None,
) -> None:
    """Show runs, sites, figures, epsilon, refusals and cosigned heads in a browser, until stopped.

    It reads the home and never writes, also while a run is led. A browser asks for a name and a
    password: any name, and the token. A reverse proxy that has users of its own sends the token.

    On loopback it speaks HTTP; anywhere else HTTPS, with the home's certificate.

    Example: aggregator dashboard --home /srv/federation
    Example: aggregator dashboard --home /srv/federation --listen 10.0.0.4:8650 --token dashboard.token
    """  # noqa: E501 - a command line
    from aggregator.dashboard.app import application  # noqa: PLC0415 (takes a second to load)
    from aggregator.dashboard.live import Live  # noqa: PLC0415
    from aggregator.lines import Lines, entrances, place  # noqa: PLC0415
    from aggregator.web import serve  # noqa: PLC0415

    live, (host, _) = Live.of(home), place(listen)
    secret = secrets.token_urlsafe(_TOKEN_BYTES) if token is None else _read_token(token)
    tls = None if _is_loopback(host) else _certificate(live.home)
    scheme = "http" if tls is None else "https"
    told = f"the token in {token.name}" if token is not None else secret
    lines = Lines(_MOST_LINES, each=_MOST_LINES)
    sockets = entrances(listen, lines)
    typer.echo(f"Dashboard at {scheme}://{listen}/  name: any  password: {told}", err=True)
    serve(application(live, token=secret), sockets, tls=tls, lines=lines)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_token(path: Path) -> str:
    """Read a token that nobody guesses, from a file that nobody else reads.

    Raises:
        HomeRefused: missing, or readable by others.
        InputRefused: too short, or no plain text.
    """
    content = read_private(path).strip()
    if len(content) < _LEAST_TOKEN or not content.isascii():
        message = f"token refused: at least {_LEAST_TOKEN} plain characters are needed"
        raise InputRefused(message, next_step="make one: openssl rand -base64 24")
    return content.decode()


def _certificate(home: AggregatorHome) -> tuple[Path, Path]:
    """Return certificate and key for an address that others reach.

    Raises:
        InputRefused: this home has none.
    """
    found = home.tls / "server.pem", home.tls / "server.key"
    if not all(path.exists() for path in found):
        message = "dashboard refused: off loopback it needs TLS, and this home has no certificate"
        next_step = "listen on loopback, behind a reverse proxy that speaks TLS"
        raise InputRefused(message, next_step=next_step)
    return found
