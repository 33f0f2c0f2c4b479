"""`hospital-node serve`: answer the aggregator's requests."""

import logging
import signal
import threading
from dataclasses import dataclass
from types import FrameType

import typer
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from hospital_node.cli.options import Home, Metrics
from hospital_node.config import NodeHome, load_config
from hospital_node.distrust import Distrust
from hospital_node.enrolment import Line, line
from hospital_node.monitoring import Tally
from hospital_node.proxy import refuse_unusable
from schemas.command_line import until_told
from schemas.errors import HomeRefused
from schemas.files import owned, read_plain
from schemas.monitoring import monitored
from schemas.names import digest_of
from schemas.wire.transport import load_transport_key, named


@until_told
def serve(home: Home, metrics: Metrics = "") -> None:
    """Connect to the aggregator and answer its requests until told to stop.

    One outbound HTTPS connection; the node listens on no port, but with --metrics on loopback.
    HTTPS_PROXY is honoured. What this hospital did not approve is refused. Ends at SIGTERM or
    Control-C, after the work at hand.
    New keys that were installed are used from the next connection on.

    Example: hospital-node serve --home /srv/consilium
    """
    paths = NodeHome(home)
    at = load_config(paths).aggregator
    if at is None or not paths.admission.exists():
        message = "serving refused: this hospital has not joined a federation over a network"
        raise HomeRefused(
            message, next_step="send a request, install the answer: hospital-node enrol --help"
        )
    _line(paths, at.fingerprint)
    refuse_unusable()
    # Flower and torch take seconds to load, and a refusal above needs neither.
    from hospital_node.flower.relay import Relay  # noqa: PLC0415
    from hospital_node.flower.serving import serve as serve_relay  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", force=True)
    over = threading.Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends it at once, which is safe too
        over.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    tally, distrust = Tally(paths), Distrust(home)
    with owned(home, by="service"), monitored(metrics, tally.watched()):
        while not over.is_set():
            seen = _line(paths, at.fingerprint)
            relay = Relay(
                seen.line.address,
                authorities=seen.line.authorities,
                key=seen.key,
                over=over,
                distrusted=distrust.noted,
            )
            tally.lines.append(relay)
            typer.echo(f"Serving {load_config(paths).site} to {seen.line.address}", err=True)
            serve_relay(home, relay, lambda: _line(paths, at.fingerprint).name != seen.name)  # noqa: B023 - called in this turn only
            relay.close()


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a line is made of; installing another admission makes it another one."""

    line: Line
    key: EllipticCurvePrivateKey
    name: str


def _line(paths: NodeHome, fingerprint: str) -> _Seen:
    content = read_plain(paths.admission)
    key = load_transport_key(paths.transport_key)
    return _Seen(line(content, fingerprint), key, digest_of(content) + named(key.public_key()))
