"""`aggregator serve`: let the hospitals' nodes in."""

import threading
from typing import Annotated

import typer

from aggregator.caller import UNKNOWN, plain
from aggregator.cli.options import Home, Metrics
from aggregator.config import AggregatorHome, load_config
from aggregator.door import Door
from aggregator.lines import Lines, entrances, place
from aggregator.log_limit import limited_log
from aggregator.monitoring import relay
from schemas.command_line import until_told
from schemas.errors import HomeRefused, InputRefused
from schemas.files import make_folder, owned
from schemas.monitoring import monitored

_MOST_LINES = 1000
_LINES_EACH = 250
"""Of one address; many sites may share one, and a node has some ten lines at a time."""


@until_told
def serve(
    home: Home,
    listen: Annotated[
        str,
        typer.Option("--listen", help="HOST:PORT to listen on; the public one if not given."),
    ] = "",
    proxy: Annotated[
        str,
        typer.Option(
            "--proxy",
            metavar="ADDRESS",
            help="A reverse proxy; its X-Forwarded-For says whose call it brings.",
        ),
    ] = "",
    metrics: Metrics = "",
) -> None:
    """Serve the nodes' endpoints over TLS until told to stop; nothing else answers there.

    Messages on their way outlast a restart. Runs are led by `aggregator run`, beside this.
    Calls count under the address that they come from. With --proxy, those of that address count
    under the one that it names in X-Forwarded-For; it must overwrite what its callers sent.
    With --metrics also health and figures for whoever watches over it, on loopback.

    Example: aggregator serve --home /srv/federation --listen 0.0.0.0:8443
    Example: aggregator serve --home /srv/federation --listen 127.0.0.1:9443 --proxy 127.0.0.1
    """
    paths = AggregatorHome(home)
    config = load_config(paths)
    if config.address is None:
        message = "serving refused: this aggregator has no address that a hospital could call"
        raise HomeRefused(message, next_step="make a home with: aggregator init --address …")
    named = _address(proxy) if proxy else None
    place(listen or config.address)
    # Flower takes a second to load, and the refusal above does not need it.
    from aggregator.flower.link import link_factory, online  # noqa: PLC0415
    from aggregator.flower.serving import admit_always  # noqa: PLC0415
    from aggregator.flower.superlink import fleet  # noqa: PLC0415
    from aggregator.web import serve as serve_app  # noqa: PLC0415

    limited_log()
    make_folder(paths.link)
    with owned(paths.link):
        factory = link_factory(paths.link)
        over, door, state = threading.Event(), Door(), factory.state()
        lines = Lines(_MOST_LINES, _LINES_EACH, told=door.turned_away, proxy=named)
        watched = relay(paths, door, lambda: online(state))
        admission = threading.Thread(target=admit_always, args=(factory, paths, door, over))
        admission.start()
        try:
            with monitored(metrics, watched):
                sockets = entrances(listen or config.address, lines)
                typer.echo(f"Serving {config.federation} at {listen or config.address}", err=True)
                tls = (paths.tls / "server.pem", paths.tls / "server.key")
                serve_app(fleet(factory, door, proxy=named), sockets, tls=tls, lines=lines)
        finally:
            over.set()
            admission.join()


def _address(proxy: str) -> str:
    """Return the address of a proxy as calls count under it.

    Raises:
        InputRefused: not an address.
    """
    found = plain(proxy)
    if found == UNKNOWN:
        message = "serving refused: --proxy takes the IP address that the proxy calls from"
        raise InputRefused(message, next_step="for example: --proxy 127.0.0.1")
    return found
