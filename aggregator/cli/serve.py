"""`aggregator serve`: let the hospitals' nodes in."""

import logging
import threading
from typing import Annotated

import typer

from aggregator.cli.options import Home, Metrics
from aggregator.config import AggregatorHome, load_config
from aggregator.door import Door
from aggregator.monitoring import relay
from schemas.errors import HomeRefused
from schemas.files import make_folder, owned
from schemas.monitoring import monitored

_MOST_CONNECTIONS = 500


def serve(
    home: Home,
    listen: Annotated[
        str,
        typer.Option("--listen", help="HOST:PORT to listen on; the public one if not given."),
    ] = "",
    metrics: Metrics = "",
) -> None:
    """Serve the nodes' endpoints over TLS until told to stop; nothing else answers there.

    Messages on their way outlast a restart. Runs are led by `aggregator run`, beside this.
    With --metrics also health and figures for whoever watches over it, on loopback.

    Example: aggregator serve --home /srv/federation --listen 0.0.0.0:8443
    """
    paths = AggregatorHome(home)
    config = load_config(paths)
    if config.address is None:
        message = "serving refused: this aggregator has no address that a hospital could call"
        raise HomeRefused(message, next_step="make a home with: aggregator init --address …")
    # Flower takes a second to load, and the refusal above does not need it.
    from aggregator.flower.link import link_factory, online  # noqa: PLC0415
    from aggregator.flower.serving import admit_always  # noqa: PLC0415
    from aggregator.flower.superlink import fleet  # noqa: PLC0415
    from aggregator.web import serve as serve_app  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", force=True)
    make_folder(paths.link)
    with owned(paths.link):
        factory = link_factory(paths.link)
        over, door, state = threading.Event(), Door(), factory.state()
        watched = relay(paths, door, lambda: online(state))
        admission = threading.Thread(target=admit_always, args=(factory, paths, door, over))
        admission.start()
        try:
            with monitored(metrics, watched):
                typer.echo(f"Serving {config.federation} at {listen or config.address}", err=True)
                serve_app(
                    fleet(factory, door),
                    listen=listen or config.address,
                    tls=(paths.tls / "server.pem", paths.tls / "server.key"),
                    most_connections=_MOST_CONNECTIONS,
                )
        finally:
            over.set()
            admission.join()
