"""`hospital-node serve`: answer the aggregator's requests."""

import logging
import signal
from types import FrameType

import typer

from hospital_node.cli.options import Home
from hospital_node.config import NodeHome, load_config
from hospital_node.enrolment import line
from schemas.errors import HomeRefused
from schemas.wire.transport import load_transport_key


def serve(home: Home) -> None:
    """Connect to the aggregator and answer its requests until told to stop.

    One outbound HTTPS connection; the node listens on no port. HTTPS_PROXY is honoured. What this
    hospital did not approve is refused. Ends at SIGTERM or Control-C, after the work at hand.

    Example: hospital-node serve --home /srv/consilium
    """
    paths = NodeHome(home)
    at = load_config(paths).aggregator
    if at is None or not paths.admission.exists():
        message = "serving refused: this hospital has not joined a federation over a network"
        raise HomeRefused(
            message, next_step="send a request, install the answer: hospital-node enrol --help"
        )
    found = line(paths.admission.read_bytes(), at.fingerprint)
    key = load_transport_key(paths.transport_key)
    # Flower and torch take seconds to load, and a refusal above needs neither.
    from hospital_node.flower.relay import Relay  # noqa: PLC0415
    from hospital_node.flower.serving import serve as serve_relay  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", force=True)
    relay = Relay(found.address, authorities=found.authorities, key=key)

    def stop(_number: int, _frame: FrameType | None) -> None:
        relay.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    typer.echo(f"Serving {load_config(paths).site} to {found.address}", err=True)
    serve_relay(home, relay)
    relay.close()
